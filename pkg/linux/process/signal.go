package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Signal sends a signal to exactly the process of the pidfd. The error is ESRCH if that has been reaped.
func Signal(pidfd *os.File, sig unix.Signal) error {
	fd, err := number(pidfd)
	if err == nil {
		err = unix.PidfdSendSignal(fd, sig, nil, 0)
	}
	if err != nil {
		return fmt.Errorf("cannot send signal %d to %s: %w", int(sig), pidfd.Name(), err)
	}
	return nil
}

// There is nil if the process of the pidfd has not been reaped, and ESRCH if it has. Unlike Signal it needs no right to signal it.
func There(pidfd *os.File) error {
	if err := Signal(pidfd, 0); !errors.Is(err, unix.EPERM) {
		return err
	}
	return nil
}

// SignalSet is a set of signals 1 to 64, as /proc/PID/status shows them.
type SignalSet uint64

// Has tells whether a signal is in the set.
func (s SignalSet) Has(sig unix.Signal) bool { return sig >= 1 && sig <= 64 && s&(1<<(sig-1)) != 0 }

// Signals is what a process does with signals.
type Signals struct {
	Caught  SignalSet // it has a handler
	Ignored SignalSet // it discards them
	Blocked SignalSet // its first thread leaves them pending, for a signalfd say
	Waiting bool      // its first thread is in sigwait; the kernel shows none of the signals it waits for as blocked
	Busy    bool      // its first thread is in no call, or has just been woken from one that nobody can name any more, such as sigwait
}

// Heeds tells whether the process may react to a signal in a way of its own. If not, it is ended by it, or, as PID 1
// of its namespace, not even that; see man 7 pid_namespaces.
func (s Signals) Heeds(sig unix.Signal) bool { return s.Waiting || (s.Caught | s.Blocked).Has(sig) }

// ReadSignals tells what a process does with signals; see man 5 proc_pid_status.
func ReadSignals(pid int) (Signals, error) {
	waiting, busy := inSigwait(pid)
	sets, err := ReadSets(pid, "SigCgt", "SigIgn", "SigBlk")
	if err != nil {
		return Signals{}, fmt.Errorf("cannot read the signals of process %d: %w", pid, err)
	}
	nowWaiting, nowBusy := inSigwait(pid) // it may have begun or ceased to wait meanwhile
	return Signals{
		Caught: SignalSet(sets[0]), Ignored: SignalSet(sets[1]), Blocked: SignalSet(sets[2]),
		Waiting: waiting || nowWaiting, Busy: busy || nowBusy,
	}, nil
}

// Pending are the signals that a process or its first thread has still to be given. Unlike ReadSignals it waits for no exec of the process:
// that reads /proc/PID/syscall, which the kernel keeps others from meanwhile (lock_trace in fs/proc/base.c).
func Pending(pid int) (SignalSet, error) {
	sets, err := ReadSets(pid, "SigPnd", "ShdPnd")
	if err != nil {
		return 0, fmt.Errorf("cannot read the pending signals of process %d: %w", pid, err)
	}
	return SignalSet(sets[0] | sets[1]), nil
}

// DefaultSignals gives their default disposition to the signals that this process ignores, because whoever started it did: its children would go
// on ignoring them. The runtime's handlers stay.
func DefaultSignals() error {
	signals, err := ReadSignals(os.Getpid())
	if err != nil {
		return err
	}
	var action [4]uint64 // struct kernel_sigaction with SIG_DFL
	for s := unix.Signal(1); s <= 64; s++ {
		if !signals.Ignored.Has(s) {
			continue
		}
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0); errno != 0 {
			return fmt.Errorf("cannot reset signal %d: %w", int(s), errno)
		}
	}
	return nil
}

// inSigwait tells whether the first thread of a process is in rt_sigtimedwait, which is sigwait, sigwaitinfo and
// sigtimedwait; yes if in doubt; or is busy. See man 5 proc_pid_syscall.
func inSigwait(pid int) (yes, busy bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
	if err != nil {
		return errors.Is(err, os.ErrPermission), false
	}
	nr, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte(" "))
	return string(nr) == strconv.Itoa(unix.SYS_RT_SIGTIMEDWAIT), string(nr) == "running"
}
