package mount

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// NewNull opens a null device that nobody else has. Whoever is given it can be the superuser of a container, and change its mode and owner: those of the
// node's /dev/null would be everybody's.
func NewNull() (_ *os.File, err error) {
	const name = "null"
	dir, err := newFS("tmpfs", []Setting{{"size", "4k"}, {"nr_inodes", "2"}, {"mode", "0700"}}, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make a null device: %w", err)
	}
	defer dir.Close()
	at := int(dir.Fd())
	if err := unix.Mknodat(at, name, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err != nil {
		return nil, fmt.Errorf("cannot make a null device: %w", err)
	}
	if err := unix.Fchmodat(at, name, 0o666, 0); err != nil { // whatever the umask
		return nil, fmt.Errorf("cannot make a null device: %w", err)
	}
	fd, err := unix.Openat(at, name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open a null device: %w", err)
	}
	return os.NewFile(uintptr(fd), os.DevNull), nil
}
