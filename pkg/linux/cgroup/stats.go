package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Stats reads what the group and everything below it uses and has used, wherever this host counts it; Network is left out, which
// no cgroup knows. A part without its controller is nil. It costs three system calls a file.
func (g *Group) Stats() (spec.Stats, error) {
	s := spec.Stats{Name: g.Name, Instance: g.Instance, Time: time.Now().Round(0).UTC()}
	r := statsReader{group: g, buffer: make([]byte, 8<<10)}
	defer r.close()
	for _, p := range statsParts() {
		if err := r.read(p, &s); err != nil {
			return spec.Stats{}, fmt.Errorf("cannot read the statistics of %s: %w", g, err)
		}
	}
	return s, nil
}

// statsReader reads the files of one group, in each hierarchy from one directory that is opened beneath the parent.
type statsReader struct {
	group  *Group
	buffer []byte
	dirs   []statsDir
}

// statsDir is the group's directory in a hierarchy; fd is -1 where it has none.
type statsDir struct {
	above *os.File
	fd    int
}

func (r *statsReader) close() {
	for _, d := range r.dirs {
		if d.fd >= 0 {
			_ = unix.Close(d.fd)
		}
	}
}

// read adds one part, from the hierarchy its controller is in.
func (r *statsReader) read(p statsPart, s *spec.Stats) error {
	above, figures := r.group.parent.unified, p.v2
	if h, ok := r.group.parent.v1Of(p.controllers...); ok {
		above, figures = h.root, p.v1
	}
	if len(figures) == 0 {
		return nil
	}
	dir, err := r.dir(above)
	if err != nil || dir < 0 {
		return err
	}
	for _, f := range figures {
		text, err := r.file(dir, f.file)
		if err != nil {
			return &os.PathError{Op: "read", Path: above.path(r.group.path + "/" + f.file), Err: err}
		}
		if text != nil {
			f.take(s, text)
		}
	}
	return nil
}

// v1Of is the v1 hierarchy that has one of the controllers, if any.
func (p *Parent) v1Of(controllers ...string) (hierarchy, bool) {
	for _, h := range p.v1 {
		for _, c := range controllers {
			if slices.Contains(h.controllers, c) {
				return h, true
			}
		}
	}
	return hierarchy{}, false
}

// dir opens the group's directory in a hierarchy, once. One that is missing is an error only in the unified hierarchy.
func (r *statsReader) dir(above root) (int, error) {
	for _, d := range r.dirs {
		if d.above == above.dir {
			return d.fd, nil
		}
	}
	fd, err := above.descriptor(r.group.path, unix.O_DIRECTORY|unix.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) && above.dir != r.group.parent.unified.dir {
		fd, err = -1, nil
	}
	if err == nil {
		r.dirs = append(r.dirs, statsDir{above.dir, fd})
	}
	return fd, err
}

// absent are the errors of files that this kernel does not have, or that are switched off (psi.rst: cgroup.pressure).
var absent = []error{unix.ENOENT, unix.EOPNOTSUPP}

// file reads a whole file into the buffer, which the next file overwrites; nil when there is none. The name is a single one of ours in
// a directory that was opened beneath the parent, so that no link can lead away.
func (r *statsReader) file(dir int, name string) ([]byte, error) {
	fd, err := openAgain(dir, name)
	if err != nil {
		return nil, presence(err)
	}
	defer unix.Close(fd)
	text := r.buffer[:0]
	for {
		n, err := unix.Read(fd, text[len(text):cap(text)])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, presence(err)
		case n == 0:
			return text, nil
		}
		text = text[:len(text)+n]
		if len(text) == cap(text) {
			text = slices.Grow(text, cap(text))
			r.buffer = text[:cap(text)]
		}
	}
}

func openAgain(dir int, name string) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// presence is nil for a file that is merely absent, and fs.ErrNotExist for one whose cgroup was removed meanwhile.
func presence(err error) error {
	if slices.ContainsFunc(absent, func(a error) bool { return errors.Is(err, a) }) {
		return nil
	}
	if errors.Is(err, unix.ENODEV) {
		return unix.ENOENT
	}
	return err
}
