package feature

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// TimeNamespaces are older (5.6), but until 6.2 only a fork enters one, which a start is not: it shares memory.
var TimeNamespaces = &Feature{
	Name: "timens", Since: "6.2", Purpose: "namespaces.time",
	Remedy: "run a kernel from Linux 6.2 on with CONFIG_TIME_NS",
	probe:  timeNamespaces,
}

// timeNamespaces lets a child execute something after it got a new time namespace, and looks where it is then.
func timeNamespaces() error {
	if err := namespace("time"); err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	p := &process.Program{Clone: unix.CLONE_NEWTIME}
	p.Park()
	p.Call("say", "ready", unix.SYS_WRITE, p.File("pipe"), process.Str("."), process.Int(1))
	p.Call("wait", "for the end", unix.SYS_PPOLL)
	p.Call("end", "", unix.SYS_EXIT_GROUP)
	child, err := process.StartParked(p, map[string]*os.File{"pipe": w})
	if err != nil {
		return err
	}
	defer child.Pidfd.Close()
	defer child.Close()
	own, theirs, err := timeNamespacesOf(child.Pid, r, w)
	_ = process.Signal(child.Pidfd, unix.SIGKILL)
	_, reaped := process.Reap(child.Pidfd)
	if err == nil && own == theirs {
		return errors.ErrUnsupported
	}
	return errors.Join(err, reaped)
}

// timeNamespacesOf names those of this process and of a child, once that is ready. It closes w, so as not to wait for a dead one.
func timeNamespacesOf(pid int, r io.Reader, w io.Closer) (own, theirs string, err error) {
	if err := w.Close(); err != nil {
		return "", "", err
	}
	if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
		return "", "", fmt.Errorf("the child has died: %w", err)
	}
	own, err = os.Readlink("/proc/self/ns/time")
	if err == nil {
		theirs, err = os.Readlink(fmt.Sprintf("/proc/%d/ns/time", pid))
	}
	return own, theirs, err
}
