// Package network makes the namespaces that belong to a container's name and outlive its processes: network, ipc and
// uts, one by one or from a pool made ahead; and it gives them a place on a bridge of the node, with published ports. It knows threads,
// links and rules; it refuses to know processes and starts, and who keeps the namespaces.
//
//	 the node                                          a sandbox
//	┌───────────────────────────────────────────┐     ┌───────────────────┐
//	│ table inet reconciler: published ports,   │     │ lo                │
//	│ masquerading of what leaves               │     │                   │
//	│ reconciler0 10.87.0.1/24 ── LinkName(NAME)│═════│ eth0 10.87.0.2/24 │
//	└───────────────────────────────────────────┘ veth└───────────────────┘
//
// Make and Pool make sandboxes, for mode Private ready to use. Node gives one of mode Bridge its end of the picture. Files are what its
// container finds in /etc.
package network

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Sandbox is a set of namespaces held by descriptor. Net is nil when the network is the node's, or that of another.
type Sandbox struct{ Net, IPC, UTS *os.File }

// kinds are the namespaces of a sandbox, by clone flag and name below /proc/thread-self/ns.
var kinds = []struct {
	flag int
	name string
	file func(*Sandbox) **os.File
}{
	{unix.CLONE_NEWNET, "net", func(s *Sandbox) **os.File { return &s.Net }},
	{unix.CLONE_NEWIPC, "ipc", func(s *Sandbox) **os.File { return &s.IPC }},
	{unix.CLONE_NEWUTS, "uts", func(s *Sandbox) **os.File { return &s.UTS }},
}

// Close lets go of the namespaces; they vanish when no process is in them. Closing twice does nothing.
func (s *Sandbox) Close() error {
	var errs []error
	for _, k := range kinds {
		if f := k.file(s); *f != nil {
			errs = append(errs, (*f).Close())
			*f = nil
		}
	}
	return errors.Join(errs...)
}

// Make makes a sandbox: Private and Bridge with the loopback up, None with it down, Host and Join without a network
// namespace. It takes about half a millisecond, most of it for the network namespace. What is on a bridge is attached later, by Node.Attach.
func Make(mode spec.NetworkMode) (Sandbox, error) {
	flags := unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	if own(mode) {
		flags |= unix.CLONE_NEWNET
	}
	var inside func() error
	if own(mode) && mode != spec.NetworkNone {
		inside = LoopbackUp
	}
	s, err := newNamespaces(flags, inside)
	if err != nil {
		return Sandbox{}, fmt.Errorf("cannot make sandbox: %w", err)
	}
	return s, nil
}

// own tells whether a mode has a network namespace of its own.
func own(mode spec.NetworkMode) bool { return mode != spec.NetworkHost && mode != spec.NetworkJoin }

// newNamespaces makes the namespaces of flags on a thread of its own for the time, runs inside there, and takes the
// thread back. A thread that cannot be taken back is never given to another goroutine: it ends with this one.
func newNamespaces(flags int, inside func() error) (Sandbox, error) {
	type result struct {
		sandbox Sandbox
		err     error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		s, home, err := unshare(flags, inside)
		if home {
			runtime.UnlockOSThread()
		}
		done <- result{s, err}
	}()
	r := <-done
	return r.sandbox, r.err
}

// unshare does the work of newNamespaces on the locked thread; home tells whether the thread is back where it was.
func unshare(flags int, inside func() error) (made Sandbox, home bool, err error) {
	before, err := current(flags)
	if err != nil {
		return Sandbox{}, true, err
	}
	defer before.Close()
	if err := unix.Unshare(flags); err != nil {
		return Sandbox{}, true, fmt.Errorf("unshare: %w", err)
	}
	made, err = current(flags)
	if err == nil && inside != nil {
		err = inside()
	}
	back := before.enter()
	if err = errors.Join(err, back); err != nil {
		made.Close()
		return Sandbox{}, back == nil, err
	}
	return made, true, nil
}

// current opens the calling thread's namespaces of flags.
func current(flags int) (Sandbox, error) {
	var s Sandbox
	for _, k := range kinds {
		if flags&k.flag == 0 {
			continue
		}
		f, err := os.Open("/proc/thread-self/ns/" + k.name)
		if err != nil {
			s.Close()
			return Sandbox{}, err
		}
		*k.file(&s) = f
	}
	return s, nil
}

// enter moves the calling thread into the namespaces of s.
func (s *Sandbox) enter() error {
	for _, k := range kinds {
		f := *k.file(s)
		if f == nil {
			continue
		}
		if err := unix.Setns(int(f.Fd()), k.flag); err != nil {
			return fmt.Errorf("setns %s: %w", k.name, err)
		}
	}
	return nil
}
