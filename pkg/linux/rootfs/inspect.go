package rootfs

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Missing gives those of the absolute paths that do not exist in the root's own file system: what is mounted below it on
// the node does not count, since a container does not see it.
func (r *Root) Missing(paths []string) ([]string, error) {
	var missing []string
	for _, p := range paths {
		f, err := r.lookup(p, unix.RESOLVE_NO_XDEV)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.EXDEV):
			missing = append(missing, p)
		case err != nil:
			return nil, err
		default:
			f.Close()
		}
	}
	return missing, nil
}

// Ordinary tells whether path is missing or a directory reached without symbolic links, as the mount points of proc, sysfs
// and dev must be: a link there would have the container's set-up work on other directories.
func (r *Root) Ordinary(path string) error {
	f, err := r.lookup(path, unix.RESOLVE_NO_SYMLINKS)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, unix.ELOOP):
		return fmt.Errorf("cannot use %s of the rootfs as a mount point: it is a symbolic link: %w", path, fs.ErrInvalid)
	case err != nil:
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("cannot use %s of the rootfs as a mount point: not a directory: %w", path, fs.ErrInvalid)
	}
	return nil
}
