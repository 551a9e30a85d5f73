package keeper

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A dead keeper's lock lives as long as a child of its that has not executed its command yet, which holds a copy of the descriptor.
const (
	lockPatience = 2 * time.Second
	lockPause    = 5 * time.Millisecond
)

// errLocked tells that a keeper of this run directory is alive.
var errLocked = errors.New("another keeper runs")

// acquire takes the lock file and writes this process's pid into it. The lock is let go when f and all copies are closed; see flock(2).
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock: %w", err)
	}
	if err := waitLock(f); err != nil {
		f.Close()
		return nil, err
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if _, err = f.WriteAt([]byte(pid), 0); err == nil {
		err = f.Truncate(int64(len(pid)))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock: %w", err)
	}
	return f, nil
}

// waitLock waits for the lock while the process that is named in it no longer exists.
func waitLock(f *os.File) error {
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(lockPause) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return os.NewSyscallError("flock", err)
		}
		holder := lockHolder(f)
		if holder > 0 && unix.Kill(holder, 0) == nil || time.Now().After(deadline) {
			return fmt.Errorf("%w: process %d holds %s", errLocked, holder, f.Name())
		}
	}
}

// lockHolder reads the pid in the lock file; 0 if there is none.
func lockHolder(f *os.File) int {
	buf := make([]byte, 16)
	n, _ := f.ReadAt(buf, 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	return pid
}
