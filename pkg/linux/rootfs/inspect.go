package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Missing gives those of the absolute paths that do not exist in the root's own file system: what is mounted below it on
// the node does not count, since a container does not see it.
func (r *Root) Missing(paths []string) ([]string, error) {
	var missing []string
	for _, p := range paths {
		f, err := r.lookup(p, 0, unix.RESOLVE_NO_XDEV)
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
	f, err := r.lookup(path, 0, unix.RESOLVE_NO_SYMLINKS)
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

// Directory opens the directory at path, and says what it looks like; fs.ErrNotExist if there is none, unix.ENOTDIR if it
// is something else. The descriptor is O_PATH.
func (r *Root) Directory(path string) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	f, err := r.lookup(path, unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, st, err
	}
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, st, &fs.PathError{Op: "stat in rootfs", Path: path, Err: err}
	}
	return f, st, nil
}

// maxLinks is how many symbolic links one path may lead over, as the kernel has it (path_resolution(7)).
const maxLinks = 40

// Resolve follows the symbolic links of an absolute path inside the root, as far as there is something, and gives the path
// without links: where a file would appear that is made at path. Who uses it must not trust it: the tree may change.
func (r *Root) Resolve(name string) (string, error) {
	at, rest := "/", strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		next := path.Join(at, rest[0])
		rest = rest[1:]
		target, err := r.readlink(next)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			return path.Join(append([]string{"/", next}, rest...)...), nil
		case err != nil:
			return "", err
		case target == "":
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "resolve in rootfs", Path: name, Err: unix.ELOOP}
		}
		if path.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}

// readlink is the target of the symbolic link at path, "" if something else is there.
func (r *Root) readlink(path string) (string, error) {
	f, err := r.lookup(path, unix.O_NOFOLLOW, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return "", err
	}
	defer f.Close()
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", target)
	switch {
	case err == unix.ENOENT || err == unix.EINVAL: // readlinkat(2): not a symbolic link
		return "", nil
	case err != nil:
		return "", &fs.PathError{Op: "readlink in rootfs", Path: path, Err: err}
	}
	return string(target[:n]), nil
}
