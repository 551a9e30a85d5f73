package process

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// withPidNamespace lets a thread make its children in another pid namespace (setns(2): the caller itself stays where it
// is) while it runs clone. A thread that cannot be brought back is not used for anything else: it ends. The path is for the error.
func withPidNamespace(ns int, path string, clone func() int) (pid int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // a goroutine that ends locked takes its thread with it
		own, errno := unix.Open("/proc/thread-self/ns/pid_for_children", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if errno == nil {
			errno = unix.Setns(ns, unix.CLONE_NEWPID)
		}
		if errno != nil {
			err = &Error{Step: "start in pid namespace", Path: path, Errno: errno.(unix.Errno), Op: -1}
		} else {
			pid = clone()
		}
		if own >= 0 && unix.Setns(own, unix.CLONE_NEWPID) == nil {
			runtime.UnlockOSThread()
		}
		_ = unix.Close(own)
	}()
	<-done
	return pid, err
}
