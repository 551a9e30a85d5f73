package tree

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// file makes what is no directory.
func (a *applier) file(e *entry, base string) error {
	dir := a.places.top().fd
	switch e.kind {
	case kindFile:
		return a.data(e, dir, base)
	case kindHardLink:
		return a.link(e, dir, base)
	case kindSymlink:
		if e.link == "" || strings.Contains(e.link, "\x00") {
			return refused("a symbolic link to %q", e.link)
		}
		if err := unix.Symlinkat(e.link, dir, base); err != nil {
			return err
		}
		return a.describe(e, dir, base)
	case kindFIFO:
		return a.node(e, dir, base, unix.S_IFIFO)
	case kindCharacter, kindBlock:
		return a.device(e, dir, base)
	}
	return refused("an entry of kind %q", e.kind)
}

// device makes a device node, if that is wanted. A device 0:0 is a whiteout to an overlay, and no archive of an overlay has one.
func (a *applier) device(e *entry, dir int, base string) error {
	if e.major >= 1<<12 || e.minor >= 1<<20 {
		return refused("a device %d:%d", e.major, e.minor)
	}
	if a.options.Whiteouts && e.kind == kindCharacter && e.major == 0 && e.minor == 0 {
		return refused("a whiteout as an entry")
	}
	if !a.options.Devices {
		a.left[e.clean()] = true
		return nil
	}
	kind := map[byte]uint32{kindCharacter: unix.S_IFCHR, kindBlock: unix.S_IFBLK}[e.kind]
	return a.node(e, dir, base, kind)
}

func (a *applier) node(e *entry, dir int, base string, kind uint32) error {
	if err := unix.Mknodat(dir, base, kind|0o600, int(unix.Mkdev(e.major, e.minor))); err != nil {
		return err
	}
	return a.describe(e, dir, base)
}

// link makes a hard link to a file of the tree. Its other name is resolved as an entry's own is.
func (a *applier) link(e *entry, dir int, base string) error {
	target := strings.TrimPrefix(e.link, "./")
	if a.left[target] {
		return nil
	}
	parts, err := a.options.split(target)
	if err == nil && len(parts) == 0 {
		err = refused("a link to the tree itself")
	}
	if err != nil {
		return fmt.Errorf("link to %q: %w", e.link, err)
	}
	last := len(parts) - 1
	from, err := a.walk(parts[:last])
	if err == nil {
		defer unix.Close(from)
		err = link(from, parts[last], dir, base)
	}
	if err != nil {
		return fmt.Errorf("link to %q: %w", e.link, err)
	}
	return nil
}

// link makes a hard link to a bare name, which is not followed.
func link(from int, name string, to int, base string) error {
	st, err := look(from, name)
	if err != nil {
		return err
	}
	if isDirectory(&st) {
		return refused("it is a directory")
	}
	return unix.Linkat(from, name, to, base, 0)
}

// walk opens a directory of the tree, in steps that fit into a path.
func (a *applier) walk(parts []string) (int, error) {
	fd, err := openDirectory(a.places.open[0].fd, ".")
	for err == nil && len(parts) > 0 {
		n := min(len(parts), 8)
		var next int
		next, err = openDirectory(fd, path.Join(parts[:n]...))
		unix.Close(fd)
		fd, parts = next, parts[n:]
	}
	return fd, err
}
