package netlink

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Inside runs do on a thread that is in a network namespace for the time; nil is the process's own. What do opens, stays there. A
// thread that cannot go back is never given to another goroutine: it ends.
func Inside(ns *os.File, do func() error) error {
	if ns == nil {
		return do()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err, home := inside(ns, do)
		if home {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// inside does the work of Inside on the locked thread; home tells whether the thread is back where it was.
func inside(ns *os.File, do func() error) (err error, home bool) {
	before, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("cannot open the thread's own network namespace: %w", err), true
	}
	defer before.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("cannot enter network namespace %s: %w", ns.Name(), err), true
	}
	err = do()
	if back := unix.Setns(int(before.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("cannot leave network namespace %s: %w", ns.Name(), back)), false
	}
	return err, true
}
