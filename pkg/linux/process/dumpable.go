package process

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// Harden makes this process non-dumpable, and Start keeps it so: no other process of its user may trace it, read
// its memory or its descriptors, or open its binary through a child's /proc/self/exe before that has executed. It
// also keeps a child that dies of a core-dumping signal from taking this process along, which before
// Linux 5.16 a core dump did to all that share the memory. See PR_SET_DUMPABLE(2const).
func Harden() error {
	dumpable.Lock()
	defer dumpable.Unlock()
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot make the process non-dumpable: %w", err)
	}
	dumpable.value = 0
	return nil
}

// dumpable is the flag of the memory that this process shares with the children it is starting, which the
// kernel changes to fs.suid_dumpable whenever one of them changes its user.
var dumpable struct {
	sync.Mutex
	starts int // under way
	value  int // what it is to be, while starts > 0
}

// keepDumpable notes the flag; the function it returns puts it back.
func keepDumpable() (restore func()) {
	dumpable.Lock()
	defer dumpable.Unlock()
	if dumpable.starts == 0 {
		dumpable.value = getDumpable()
	}
	dumpable.starts++
	return restoreDumpable
}

func restoreDumpable() {
	dumpable.Lock()
	defer dumpable.Unlock()
	dumpable.starts--
	if getDumpable() != dumpable.value {
		// Only 0 and 1 can be set; 2, which is for the kernel alone, becomes the stricter 0.
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, uintptr(dumpable.value&1), 0, 0, 0)
	}
}

func getDumpable() int {
	n, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	return n
}
