package process

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Exit is how a process ended: with a code, or by a signal.
type Exit struct {
	Code   int         // 0 to 255; 0 with a signal
	Signal unix.Signal // 0 if it exited by itself
	Core   bool        // it dumped core
}

// String is "exit code 3" or "SIGKILL".
func (e Exit) String() string {
	switch {
	case e.Signal == 0:
		return fmt.Sprintf("exit code %d", e.Code)
	case e.Core:
		return unix.SignalName(e.Signal) + " (core dumped)"
	}
	return unix.SignalName(e.Signal)
}

// Peek tells how a child has ended and leaves it to be reaped; ended is false while it runs, and while somebody else traces it. The error is ECHILD if the
// process is no child of ours or has been reaped.
func Peek(pidfd *os.File) (e Exit, ended bool, err error) {
	return wait(pidfd, unix.WNOHANG|unix.WNOWAIT)
}

// ErrTraced is why a dead child could not be reaped: somebody else traces it, and the kernel gives it to its parent only when the tracer has let
// go of it, with another SIGCHLD. See ptrace(2), "Death under ptrace".
var ErrTraced = errors.New("it is traced")

// Reap waits until a child has ended and removes it from the process table. The error is ECHILD as with Peek, or ErrTraced: a tracer, which can be a
// hostile process beside the child, is not waited for.
func Reap(pidfd *os.File) (Exit, error) {
	fd, err := number(pidfd)
	if err == nil {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		err = retry(func() error { _, err := unix.Poll(poll, -1); return err })
	}
	if err != nil {
		return Exit{}, fmt.Errorf("cannot wait for %s: %w", pidfd.Name(), err)
	}
	e, ended, err := wait(pidfd, unix.WNOHANG)
	if err == nil && !ended {
		err = fmt.Errorf("cannot reap %s: %w", pidfd.Name(), ErrTraced)
	}
	return e, err
}

// childInfo is siginfo_t as waitid fills it on 64-bit machines; see man 2 waitid.
type childInfo struct {
	signo, errno, code, _ int32
	pid, uid              int32
	status                int32
	_                     [100]byte
}

func wait(pidfd *os.File, options int) (Exit, bool, error) {
	var info childInfo
	fd, err := number(pidfd)
	if err == nil {
		err = retry(func() error {
			return unix.Waitid(unix.P_PIDFD, fd, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|options, nil)
		})
	}
	if err != nil {
		return Exit{}, false, fmt.Errorf("cannot wait for %s: %w", pidfd.Name(), err)
	}
	const exited, dumped = 1, 3 // CLD_EXITED, CLD_DUMPED of siginfo.h
	switch {
	case info.pid == 0:
		return Exit{}, false, nil
	case info.code == exited:
		return Exit{Code: int(info.status)}, true, nil
	}
	return Exit{Signal: unix.Signal(info.status), Core: info.code == dumped}, true, nil
}

// Recall tells how any process, child or not, has ended, once its parent has reaped it; ended is false before. The
// pidfd must have been opened before. Before Linux 6.15 the error is errors.ErrUnsupported.
func Recall(pidfd *os.File) (e Exit, ended bool, err error) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	fd, err := number(pidfd)
	if err == nil {
		err = unix.IoctlPidfdInfo(fd, &info)
	}
	switch {
	case errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL):
		return Exit{}, false, fmt.Errorf("cannot ask how %s ended: Linux 6.15 is needed: %w", pidfd.Name(), errors.ErrUnsupported)
	case errors.Is(err, unix.ESRCH): // reaped, and this kernel forgets, or the pidfd was not of pidfs
		return Exit{}, false, fmt.Errorf("cannot ask how %s ended: %w", pidfd.Name(), errors.ErrUnsupported)
	case err != nil:
		return Exit{}, false, fmt.Errorf("cannot ask how %s ended: %w", pidfd.Name(), err)
	case info.Mask&unix.PIDFD_INFO_EXIT == 0:
		return Exit{}, false, nil
	}
	return exitOf(unix.WaitStatus(info.Exit_code)), true, nil
}

func exitOf(status unix.WaitStatus) Exit {
	if status.Signaled() {
		return Exit{Signal: status.Signal(), Core: status.CoreDump()}
	}
	return Exit{Code: status.ExitStatus()}
}

// retry repeats a call that a signal interrupts.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
