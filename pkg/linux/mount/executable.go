package mount

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// NewExecutable makes a file that everybody can execute and nobody can change, as content is, in a file system of its own that is mounted nowhere. Other than a
// memfd it can be told from the memory of processes, so that criu takes it for a file that the node has as well.
func NewExecutable(name string, content *os.File) (_ *os.File, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot make %s: %w", name, err)
		}
	}()
	text, err := io.ReadAll(io.NewSectionReader(content, 0, maxExecutable))
	if err != nil {
		return nil, err
	}
	dir, err := newFS("tmpfs", []Setting{{"size", strconv.Itoa(maxExecutable)}, {"nr_inodes", "2"}, {"mode", "0700"}}, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o700)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o555), f.Close()); err != nil {
		return nil, err
	}
	if err := unix.MountSetattr(int(dir.Fd()), "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: readonly}); err != nil {
		return nil, err
	}
	if fd, err = unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

const maxExecutable = 64 << 10
