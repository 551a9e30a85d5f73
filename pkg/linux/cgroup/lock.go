package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lock takes the parent for this agent until its descriptor is closed, by exit at the latest (flock(2)).
func lock(parent root, name string) error {
	err := unix.Flock(int(parent.dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return &LockedError{Parent: name, Pid: holder(parent)}
	}
	if err != nil {
		return fmt.Errorf("cannot lock %s: %w", parent.dir.Name(), err)
	}
	return nil
}

// holder finds who locked a directory in /proc/locks, see proc_locks(5); 0 when the kernel does not tell.
func holder(dir root) int {
	var st unix.Stat_t
	if unix.Fstat(int(dir.dir.Fd()), &st) != nil {
		return 0
	}
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	return lockHolder(string(text), fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino))
}

// lockHolder finds the pid in lines such as "1: FLOCK  ADVISORY  WRITE 1234 00:26:5678 0 EOF".
func lockHolder(locks, inode string) int {
	for line := range strings.Lines(locks) {
		f := strings.Fields(line)
		if len(f) >= 6 && f[1] == "FLOCK" && f[5] == inode {
			pid, _ := strconv.Atoi(f[4])
			return pid
		}
	}
	return 0
}
