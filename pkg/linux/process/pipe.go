package process

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Pipe makes a pipe for a child of which only our end, 0 to read or 1 to write, is in non-blocking mode and watched by the runtime's poller:
// few programs understand a standard input or output that says EAGAIN.
func Pipe(ours int) (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	if err := unix.SetNonblock(fds[ours], true); err != nil {
		return nil, nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return os.NewFile(uintptr(fds[0]), "|0"), os.NewFile(uintptr(fds[1]), "|1"), nil
}
