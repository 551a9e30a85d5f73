// Package rootfs reads what a start must know from a container's root file system: users, groups, mount points, where a
// command may be. It knows hostile trees, through descriptors resolved inside them; it refuses to write and to know starts.
package rootfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Root is an open root file system. Nothing in it is trusted: every path is resolved inside it, whatever its symbolic
// links say, and only regular files are read.
type Root struct{ dir *os.File }

// maxFile bounds what is read of one file.
const maxFile = 1 << 20

// Open opens the directory at path on the node. An error names path and wraps the errno; a path that is no directory
// is ENOTDIR.
func Open(path string) (*Root, error) {
	f, err := os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open rootfs: %w", err)
	}
	return &Root{f}, nil
}

// File is the O_PATH descriptor of the root directory; it belongs to r.
func (r *Root) File() *os.File { return r.dir }

// Close closes the root.
func (r *Root) Close() error { return r.dir.Close() }

// lookup opens path inside the root with O_PATH and further flags. openat2(2) says EAGAIN when a rename or mount elsewhere on the node
// came between ".." and its check; that passes, and is bounded here against a tree that renames without end.
func (r *Root) lookup(path string, flags, resolve uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | resolve}
	fd, err := -1, error(unix.EAGAIN)
	for try := 0; try < 128 && (err == unix.EAGAIN || err == unix.EINTR); try++ {
		fd, err = unix.Openat2(int(r.dir.Fd()), path, &how)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open in rootfs", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// read gives the contents of the regular file at path, nil if there is none. The inode is looked at before it is
// opened for reading, because opening a device or a fifo already has effects.
func (r *Root) read(path string) ([]byte, error) {
	f, err := r.lookup(path, 0, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read in rootfs", Path: path, Err: fmt.Errorf("not a regular file: %w", fs.ErrInvalid)}
	}
	data, err := os.OpenFile("/proc/thread-self/fd/"+strconv.Itoa(int(f.Fd())), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s in rootfs: %w", path, err)
	}
	defer data.Close()
	b, err := io.ReadAll(io.LimitReader(data, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s in rootfs: %w", path, err)
	}
	if len(b) > maxFile {
		return nil, &fs.PathError{Op: "read in rootfs", Path: path, Err: fmt.Errorf("larger than %d bytes: %w", maxFile, fs.ErrInvalid)}
	}
	return b, nil
}
