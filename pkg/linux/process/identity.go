package process

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// StartTime is when a process started, in clock ticks since boot: field 22 of /proc/PID/stat. Together with the pid
// and BootID it names a process for good. The error of a process that does not exist is os.ErrNotExist or ESRCH.
func StartTime(pid int) (uint64, error) {
	stat, err := ReadStat(pid)
	if err != nil {
		return 0, fmt.Errorf("cannot read the start time of process %d: %w", pid, err)
	}
	return stat.StartTime, nil
}

// BootID is a name that this boot of the machine has for itself.
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

// OpenVerified opens a pidfd that is proven to be of the process with this pid and start time. The error is ESRCH if
// there is none any more, even if a stranger has the pid now; any other (EMFILE, ENOMEM) leaves it open whether there is.
func OpenVerified(pid int, startTime uint64) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open process %d: %w", pid, gone(err))
	}
	pidfd := os.NewFile(uintptr(fd), fmt.Sprintf("pidfd:%d", pid))
	found, err := StartTime(pid)
	if err == nil {
		// The pid cannot have been another's when the time was read, if its process is not reaped even now.
		err = Signal(pidfd, 0)
	}
	if err == nil && found != startTime {
		err = unix.ESRCH
	}
	if err != nil {
		_ = pidfd.Close()
		return nil, fmt.Errorf("cannot open process %d started at %d: %w", pid, startTime, gone(err))
	}
	return pidfd, nil
}

// gone is ESRCH in place of every error that means it. A number that only a thread has is refused by pidfd_open(2)
// with EINVAL, from Linux 6.14 on with ENOENT.
func gone(err error) error {
	for _, same := range []unix.Errno{unix.ENOENT, unix.EINVAL} {
		if errors.Is(err, same) {
			return fmt.Errorf("%w (%v)", unix.ESRCH, err)
		}
	}
	return err
}
