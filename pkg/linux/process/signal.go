package process

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"

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

// SignalSet is a set of signals 1 to 64, as /proc/PID/status shows them.
type SignalSet uint64

// Has tells whether a signal is in the set.
func (s SignalSet) Has(sig unix.Signal) bool { return sig >= 1 && sig <= 64 && s&(1<<(sig-1)) != 0 }

// Signals is what a process does with signals.
type Signals struct {
	Caught  SignalSet // it has a handler
	Ignored SignalSet // it discards them
	Blocked SignalSet // its first thread waits with them, or takes them by sigwait or signalfd
}

// Heeds tells whether the process reacts to a signal in a way of its own. A PID 1 that does not heed a
// signal does not even die of it; see man 7 pid_namespaces.
func (s Signals) Heeds(sig unix.Signal) bool { return (s.Caught | s.Blocked).Has(sig) }

// ReadSignals tells what a process does with signals; see man 5 proc_pid_status.
func ReadSignals(pid int) (Signals, error) {
	var s Signals
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return s, fmt.Errorf("cannot read the signals of process %d: %w", pid, err)
	}
	sets := map[string]*SignalSet{"SigCgt": &s.Caught, "SigIgn": &s.Ignored, "SigBlk": &s.Blocked}
	for lines := bufio.NewScanner(bytes.NewReader(status)); lines.Scan(); {
		key, value, _ := bytes.Cut(lines.Bytes(), []byte(":\t"))
		if set := sets[string(key)]; set != nil {
			n, err := strconv.ParseUint(string(value), 16, 64)
			if err != nil {
				return s, fmt.Errorf("cannot read %s of process %d: %w", key, pid, err)
			}
			*set = SignalSet(n)
		}
	}
	return s, nil
}
