package tree

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Diff writes what merged has that lower has not, and returns the names of what lower has and merged has not, in the order of a walk. Merged is the
// root of an overlay over lower, through /proc/PID/root if it is another's; both stay the caller's. Skip, if it is not nil, is asked for each
// name below merged whether to leave it out, with all that is below it.
//
// A directory is looked into only if overlayfs has copied it up, which it does before it changes anything below: one that it has not shows
// the change time of the lower layer's. So the time this takes goes with what was changed and with how many names the directories have in
// which that is; what is below other directories costs nothing. What is mounted on something in merged is left out, with what it covers.
//
// Nobody may change merged meanwhile: a file that gets shorter or goes is an error, as is a tree of more than 512 directories below one another.
func Diff(ctx context.Context, w io.Writer, merged, lower *os.File, skip func(name string) bool) (deleted []string, err error) {
	s := newSaver(ctx, w, skip)
	if err := s.save(merged, lower); err != nil {
		return nil, fmt.Errorf("cannot save what changed in %s: %w", merged.Name(), err)
	}
	return s.deleted, nil
}

// Save writes all that is in a directory and below it, in the same way as Diff.
func Save(ctx context.Context, w io.Writer, dir *os.File, skip func(name string) bool) error {
	if err := newSaver(ctx, w, skip).save(dir, nil); err != nil {
		return fmt.Errorf("cannot save the files of %s: %w", dir.Name(), err)
	}
	return nil
}

// saver walks one tree.
type saver struct {
	out     *writer
	skip    func(string) bool
	links   map[inode]string // the first name of files that have several
	deleted []string
}

// inode tells files apart.
type inode struct {
	major, minor uint32
	number       uint64
}

func newSaver(ctx context.Context, w io.Writer, skip func(string) bool) *saver {
	return &saver{out: newWriter(ctx, w), skip: skip, links: map[inode]string{}}
}

// none is the descriptor of what is not there.
const none = -1

// save writes the archive of merged: all of it when there is no lower.
func (s *saver) save(merged, lower *os.File) error {
	top, err := openDirectory(int(merged.Fd()), ".")
	if err != nil {
		return err
	}
	defer unix.Close(top)
	below := none
	if lower != nil {
		if below, err = openDirectory(int(lower.Fd()), "."); err != nil {
			return fmt.Errorf("%s: %w", lower.Name(), err)
		}
		defer unix.Close(below)
	}
	if err := s.top(top, below); err != nil {
		return err
	}
	return s.out.end()
}

// top saves the tree's own directory and what is in it.
func (s *saver) top(merged, lower int) error {
	st, err := lookAt(merged)
	if err != nil {
		return err
	}
	if lower != none {
		before, err := lookAt(lower)
		if err != nil || untouched(&st, &before) {
			return err
		}
	}
	return s.directory(merged, lower, root, &st, 0)
}

// directory saves an open directory, and what is in it.
func (s *saver) directory(merged, lower int, name string, st *unix.Statx_t, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%q: %w", name, errDeep)
	}
	e := described(name, st)
	var err error
	if e.xattrs, err = xattrsOf(merged); err == nil {
		err = s.out.entry(e, none)
	}
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	return s.children(merged, lower, name, depth)
}

// children compares a directory with the lower one name by name, both in order.
func (s *saver) children(merged, lower int, name string, depth int) error {
	above, err := list(merged)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	var below []dirent
	l := lowerDir{fd: lower}
	defer l.close()
	if lower != none {
		if below, err = list(lower); err != nil {
			return fmt.Errorf("%q of the lower layer: %w", name, err)
		}
	}
	for len(above) > 0 || len(below) > 0 {
		var both bool
		switch {
		case len(above) == 0 || len(below) > 0 && below[0].name < above[0].name:
			if err := s.gone(&l, below[0], join(name, below[0].name)); err != nil {
				return err
			}
			below = below[1:]
			continue
		case len(below) > 0 && below[0].name == above[0].name:
			both, below = true, below[1:]
		}
		full := join(name, above[0].name)
		if s.skip == nil || !s.skip(full) {
			if err := s.child(merged, &l, above[0].name, both, full, depth+1); err != nil {
				return err
			}
		}
		above = above[1:]
	}
	return nil
}

// gone notes a name that only the lower layer has. A whiteout in the lower layer itself (a device 0:0) never was to be seen.
func (s *saver) gone(l *lowerDir, d dirent, full string) error {
	if s.skip != nil && s.skip(full) {
		return nil
	}
	if d.kind == unix.DT_CHR || d.kind == unix.DT_UNKNOWN {
		st, err := l.look(d.name)
		if err != nil {
			return fmt.Errorf("%q of the lower layer: %w", full, err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev_major == 0 && st.Rdev_minor == 0 {
			return nil
		}
	}
	s.deleted = append(s.deleted, full)
	return nil
}

// child saves one entry of a directory, if it is not the lower layer's own.
func (s *saver) child(merged int, l *lowerDir, name string, both bool, full string, depth int) error {
	st, err := look(merged, name)
	if err != nil {
		return fmt.Errorf("%q: %w", full, err)
	}
	if isMounted(&st) {
		return nil
	}
	inBoth := false // whether it is a directory in both
	if both {
		before, err := l.look(name)
		if err != nil {
			return fmt.Errorf("%q of the lower layer: %w", full, err)
		}
		if untouched(&st, &before) {
			return nil
		}
		inBoth = isDirectory(&before)
	}
	if !isDirectory(&st) {
		return s.file(merged, name, full, &st, both)
	}
	fd, err := openDirectory(merged, name)
	if err != nil {
		return fmt.Errorf("%q: %w", full, err)
	}
	defer unix.Close(fd)
	below := none
	if inBoth {
		if below, err = openDirectory(l.fd, name); err != nil {
			return fmt.Errorf("%q of the lower layer: %w", full, err)
		}
		defer unix.Close(below)
	}
	return s.directory(fd, below, full, &st, depth)
}

// join is the name of what is in a directory.
func join(dir, name string) string {
	if dir == root {
		return name
	}
	return dir + "/" + name
}
