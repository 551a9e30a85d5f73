package mount

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// devptsMagic is DEVPTS_SUPER_MAGIC of linux/magic.h.
const devptsMagic = 0x1cd1

// OpenTerminal opens a new terminal of the devpts that a running container has: its master and, without a path, its other end. Nothing but a devpts is
// opened: the container can have put anything there. See ioctl_tty(2), TIOCGPTPEER.
func OpenTerminal(root *rootfs.Root, size spec.TerminalSize) (master, slave *os.File, err error) {
	const path = "dev/pts/ptmx"
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot open a terminal at /%s: %w", path, err)
		}
	}()
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS,
	}
	fd, err := unix.Openat2(int(root.File().Fd()), path, &how)
	if err != nil {
		return nil, nil, err
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return nil, nil, err
	}
	if fs.Type != devptsMagic {
		return nil, nil, errors.New("no devpts is mounted there")
	}
	if master, err = os.OpenFile(fmt.Sprintf("/proc/thread-self/fd/%d", fd), unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0); err != nil {
		return nil, nil, err
	}
	if err = Resize(master, size); err == nil {
		slave, err = peer(master)
	}
	if err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	return master, slave, nil
}

// Resize sets the size of a terminal, by its master; the zero size leaves it.
func Resize(master *os.File, size spec.TerminalSize) error {
	if size == (spec.TerminalSize{}) {
		return nil
	}
	conn, err := master.SyscallConn()
	if err != nil {
		return err
	}
	failed := conn.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Columns})
	})
	return errors.Join(failed, err)
}

// peer unlocks a terminal and opens its other end. The master stays with the runtime's poller.
func peer(master *os.File) (slave *os.File, err error) {
	conn, err := master.SyscallConn()
	if err != nil {
		return nil, err
	}
	failed := conn.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err != nil {
			return
		}
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
		if errno != 0 {
			err = errno
			return
		}
		slave = os.NewFile(n, "terminal")
	})
	return slave, errors.Join(failed, err)
}
