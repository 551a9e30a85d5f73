package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// trust refuses what somebody else may have written.
func (d *Dir) trust(st *unix.Stat_t, what, path string) error {
	switch {
	case !slices.Contains(d.owners, st.Uid):
		hint := "chown root " + path
		if !d.alone {
			hint += ", or trust its owner with --manifest-owner"
		}
		return fmt.Errorf("%s belongs to user %d, who is not trusted: %w\nhint: %s", what, st.Uid, fs.ErrPermission, hint)
	case st.Mode&unix.S_IFMT != unix.S_IFLNK && st.Mode&0o022 != 0:
		return fmt.Errorf("%s can be written by others, mode %#o: %w\nhint: chmod go-w %s", what, st.Mode&0o7777, fs.ErrPermission, path)
	}
	return nil
}

// trustWay refuses a path that somebody else can lead elsewhere: by renaming in a directory on it, or by a symbolic link of theirs. In a
// sticky directory others rename only what is theirs, see inode(7). What is gone meanwhile leads nowhere.
func (d *Dir) trustWay(path string) error {
	for {
		if err := d.trustStep(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		up := filepath.Dir(path)
		if up == path {
			return nil
		}
		path = up
	}
}

func (d *Dir) trustStep(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&unix.S_ISVTX != 0 {
		st.Mode &^= 0o022
	}
	return d.trust(&st, path, path)
}

// trustFile refuses a file that somebody else may have written, or to which a symbolic link led by way of somebody else's directory.
func (d *Dir) trustFile(f *os.File, st *unix.Stat_t, name string, linked bool) error {
	if err := d.trust(st, "it", filepath.Join(d.path, name)); err != nil || !linked {
		return err
	}
	path, err := pathOf(f.Fd())
	if err != nil {
		return err
	}
	return d.trustWay(path)
}

// pathOf is where an open file is, without symbolic links.
func pathOf(fd uintptr) (string, error) { return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)) }
