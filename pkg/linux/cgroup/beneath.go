package cgroup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// root is an open directory of one hierarchy. Everything below it is reached by names relative to it
// and can neither leave it, nor follow a link, nor cross a mount (openat2(2)).
type root struct {
	dir *os.File
}

func openRoot(path string) (root, error) {
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	return root{f}, err
}

// openTries bounds how often renames may race with one lookup.
const openTries = 128

// open opens name beneath the root. Errors are *fs.PathError with the full path.
func (r root) open(name string, flags int) (*os.File, error) {
	fd, err := r.descriptor(name, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), r.path(name)), nil
}

// descriptor is open without an *os.File around it.
func (r root) descriptor(name string, flags int) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	for try := 1; ; try++ {
		fd, err := unix.Openat2(int(r.dir.Fd()), name, &how)
		switch {
		case err == nil:
			return fd, nil
		case try < openTries && (errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN)): // a rename somewhere raced with the lookup
		default:
			return -1, &os.PathError{Op: "open", Path: r.path(name), Err: err}
		}
	}
}

func (r root) path(name string) string { return path.Join(r.dir.Name(), name) }

// sub opens a directory beneath the root as a root of its own.
func (r root) sub(name string) (root, error) {
	f, err := r.open(name, unix.O_DIRECTORY|unix.O_RDONLY)
	return root{f}, err
}

// read reads a kernel file. One whose cgroup is removed meanwhile says ENODEV, and is fs.ErrNotExist here.
func (r root) read(name string) (string, error) {
	fd, err := r.descriptor(name, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	text := make([]byte, 0, 512) // most have a line
	for {
		n, err := unix.Read(fd, text[len(text):cap(text)])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENODEV):
			err = unix.ENOENT
		}
		if err != nil {
			return "", &os.PathError{Op: "read", Path: r.path(name), Err: err}
		}
		text = text[:len(text)+n]
		if n == 0 || len(text) > maxRead {
			return string(text), nil
		}
		if len(text) == cap(text) {
			text = slices.Grow(text, len(text))
		}
	}
}

// maxRead bounds what is read of a file.
const maxRead = 1 << 20

// write hands a line to a kernel file in one write(2), which is one operation to the kernel. Without its end, an
// empty line would be no operation at all.
func (r root) write(name, text string) error {
	f, err := r.open(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text + "\n")
	return err
}

// mkdir makes a directory; one that is there is success. Here and in rmdir the name is walked by the kernel from
// the root's descriptor without openat2's limits: cgroup file systems keep no links, and names never hold "..".
func (r root) mkdir(name string) error {
	_, err := r.make(name)
	return err
}

// make is mkdir, and tells whether the directory is new.
func (r root) make(name string) (isNew bool, err error) {
	err = unix.Mkdirat(int(r.dir.Fd()), name, 0o755)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return false, &os.PathError{Op: "mkdir", Path: r.path(name), Err: err}
	}
	return err == nil, nil
}

// rmdir removes one directory; one that is gone is success.
func (r root) rmdir(name string) error {
	err := unix.Unlinkat(int(r.dir.Fd()), name, unix.AT_REMOVEDIR)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "rmdir", Path: r.path(name), Err: err}
	}
	return nil
}

// dirs names the directories in name, sorted.
func (r root) dirs(name string) ([]string, error) {
	fd, err := r.descriptor(name, unix.O_DIRECTORY|unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err == nil && st.Nlink == bareLinks {
		return nil, nil
	}
	names, err := dirsIn(fd)
	if err != nil {
		return nil, fmt.Errorf("cannot list %s: %w", r.path(name), err)
	}
	slices.Sort(names)
	return names, nil
}

// bareLinks is how many links a directory without directories has: one more for each (kernfs_refresh_inode in fs/kernfs/inode.c).
const bareLinks = 2

// listings are buffers for directories.
var listings = sync.Pool{New: func() any { return new([8 << 10]byte) }}

// dirsIn names the directories in an open one. Files, of which each cgroup has dozens, cost nothing.
func dirsIn(fd int) (names []string, err error) {
	listing := listings.Get().(*[8 << 10]byte)
	defer listings.Put(listing)
	for {
		n, err := unix.ReadDirent(fd, listing[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 || err != nil {
			return names, err
		}
		// struct linux_dirent64 of getdents(2): d_reclen after two numbers of 8 bytes, d_type, d_name with its NUL.
		const lengthAt, typeAt, nameAt = 16, 18, 19
		for rest := listing[:n]; len(rest) > nameAt; {
			entry := rest[:binary.NativeEndian.Uint16(rest[lengthAt:])]
			rest = rest[len(entry):]
			if name := unix.ByteSliceToString(entry[nameAt:]); entry[typeAt] == unix.DT_DIR && name != "." && name != ".." {
				names = append(names, name)
			}
		}
	}
}

// walk calls f with name and every directory below it, deepest first.
func (r root) walk(name string, f func(name string) error) error {
	children, err := r.dirs(name)
	if err != nil {
		return err
	}
	for _, c := range children {
		err := r.walk(path.Join(name, c), f)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return f(name)
}

// cause is the error number below a path that the caller names itself.
func cause(err error) error {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// rmdirPath removes one directory; one that is gone is success.
func rmdirPath(path string) error {
	if err := unix.Rmdir(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "rmdir", Path: path, Err: err}
	}
	return nil
}
