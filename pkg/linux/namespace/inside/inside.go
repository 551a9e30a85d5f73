// Package inside carries out what a thread does in another namespace.
package inside

import (
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"

	"golang.org/x/sys/unix"
)

// Do calls do on a thread that is in a namespace of a kind that a thread may have for itself: CLONE_NEWNET, CLONE_NEWUTS or CLONE_NEWIPC. A nil ns is where we are.
// A thread that cannot come back ends.
func Do(ns *os.File, kind int, do func() error) error {
	if ns == nil {
		return do()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err, home := visit(ns, kind, do)
		if home {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// visit does the work of Do on the locked thread; home tells whether the thread is back where it was.
func visit(ns *os.File, kind int, do func() error) (err error, home bool) {
	name := map[int]string{unix.CLONE_NEWNET: "net", unix.CLONE_NEWUTS: "uts", unix.CLONE_NEWIPC: "ipc"}[kind]
	before, err := unix.Open(path.Join("/proc/thread-self/ns", name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open the thread's own %s namespace: %w", name, err), true
	}
	defer unix.Close(before)
	if err := unix.Setns(int(ns.Fd()), kind); err != nil {
		return fmt.Errorf("cannot enter %s namespace %s: %w", name, ns.Name(), err), true
	}
	err = do()
	if back := unix.Setns(before, kind); back != nil {
		return errors.Join(err, fmt.Errorf("cannot leave %s namespace %s: %w", name, ns.Name(), back)), false
	}
	return err, true
}
