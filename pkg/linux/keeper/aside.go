package keeper

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// A process aside has an instance's in its hands: it traces them and has them carry out system calls for it, by code that it writes over theirs. Killed at
// such a moment, it leaves them that code, and they die of it (SIGTRAP). So it is not killed, but made to fail: it cannot write to files any more, takes
// back what it has done, and ends.

// giveUpTime is how long a process aside may take to give up. As long as that, the instance may stand still.
const giveUpTime = 3 * time.Second

func isAside(cgroup string) bool { return strings.HasPrefix(filepath.Base(cgroup), AsidePrefix) }

// giveUp tells the processes in a cgroup to give up, stopped ones too, and waits until that is so, or for as long as it may take.
func giveUp(cgroup string, isDone func() bool) {
	for deadline := time.Now().Add(giveUpTime); !isDone() && time.Now().Before(deadline); {
		for _, pid := range processesBelow(cgroup) {
			stopWriting(cgroup, pid)
		}
		rest(context.Background(), killPause)
	}
}

// stopWriting takes from a process the right to write to files, and lets it go on if it was stopped. One that does not belong to the cgroup any more is left alone.
func stopWriting(cgroup string, pid int) {
	pidfd, err := openIn(cgroup, pid)
	if err != nil {
		return
	}
	defer pidfd.Close()
	if unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{}, nil) == nil {
		_ = process.Signal(pidfd, unix.SIGCONT)
	}
}
