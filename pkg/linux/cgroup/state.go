package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// State is what cgroup.events says of a group and everything below it.
type State struct {
	Populated bool // there is a live process
	Frozen    bool // every process has stopped (cgroup.freeze); also true of a frozen group without processes
}

// State reads the group's state.
func (g *Group) State() (State, error) {
	text, err := g.parent.unified.read(g.path + "/cgroup.events")
	return parseState(text), err
}

func parseState(text string) State {
	values := keyed(text)
	return State{Populated: values["populated"] == 1, Frozen: values["frozen"] == 1}
}

// Kill kills every process in the group, frozen ones too, and returns at once (cgroup.kill, Linux 5.14).
// An empty group is success.
func (g *Group) Kill() error {
	return g.command("kill", "cgroup.kill", "1")
}

// Freeze stops every process in the groups, as nearly at once as can be, and returns when all have stopped. When ctx ends before, a
// process may be stuck in the kernel: all groups are thawed again and the error is that of ctx.
func Freeze(ctx context.Context, groups ...*Group) error {
	err := all(groups, func(g *Group) error { return g.command("freeze", "cgroup.freeze", "1") })
	if err == nil {
		err = all(groups, func(g *Group) error {
			if err := g.Wait(ctx, func(s State) bool { return s.Frozen }); err != nil {
				return fmt.Errorf("cannot freeze %s: %w", g, err)
			}
			return nil
		})
	}
	if err != nil {
		err = errors.Join(err, thaw(groups))
	}
	return err
}

// Thaw lets the processes of the groups run again and returns when they do.
func Thaw(ctx context.Context, groups ...*Group) error {
	if err := thaw(groups); err != nil {
		return err
	}
	return all(groups, func(g *Group) error { return g.Wait(ctx, func(s State) bool { return !s.Frozen }) })
}

// thaw tells the groups to run, all of them whatever the errors.
func thaw(groups []*Group) error {
	var errs []error
	for _, g := range groups {
		errs = append(errs, g.command("thaw", "cgroup.freeze", "0"))
	}
	return errors.Join(errs...)
}

// all does something to each group until an error.
func all(groups []*Group, do func(*Group) error) error {
	for _, g := range groups {
		if err := do(g); err != nil {
			return err
		}
	}
	return nil
}

// Freeze is Freeze of this group alone.
func (g *Group) Freeze(ctx context.Context) error { return Freeze(ctx, g) }

// Thaw is Thaw of this group alone.
func (g *Group) Thaw(ctx context.Context) error { return Thaw(ctx, g) }

// Freezing tells whether the group was told to freeze, done or not.
func (g *Group) Freezing() (bool, error) {
	text, err := g.parent.unified.read(g.path + "/cgroup.freeze")
	return len(text) > 0 && text[0] == '1', err
}

func (g *Group) command(verb, file, text string) error {
	if err := g.parent.unified.write(g.path+"/"+file, text); err != nil {
		return fmt.Errorf("cannot %s %s: %w", verb, g, err)
	}
	return nil
}

// A wait looks by itself after 1 ms, then 2, 4 and so on up to 64: the kernel tells of changes at most every 10 ms
// (CGROUP_FILE_NOTIFY_MIN_INTV in kernel/cgroup/cgroup.c), and not at all of the group's removal.
const firstLook, lastLook = 1, 64

// Wait returns when the group's state satisfies until, or with the error of ctx. A group that is removed
// meanwhile is fs.ErrNotExist.
func (g *Group) Wait(ctx context.Context, until func(State) bool) error {
	events, err := g.parent.unified.open(g.path+"/cgroup.events", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer events.Close()
	wake, err := wakeOn(ctx)
	if err != nil {
		return err
	}
	defer wake.close()
	for look := firstLook; ; look = min(2*look, lastLook) {
		state, err := rereadState(events)
		if err != nil {
			return err
		}
		if until(state) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		// The kernel raises POLLPRI for every change since the last read (cgroup-v2.rst, cgroup.events).
		fds := []unix.PollFd{{Fd: int32(events.Fd()), Events: unix.POLLPRI}, {Fd: int32(wake.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, look); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("cannot wait for %s: %w", g, err)
		}
	}
}

func rereadState(events *os.File) (State, error) {
	buffer := make([]byte, 512)
	n, err := unix.Pread(int(events.Fd()), buffer, 0)
	if errors.Is(err, unix.ENODEV) { // removed under the open file
		err = unix.ENOENT
	}
	if err != nil {
		return State{}, &os.PathError{Op: "read", Path: events.Name(), Err: err}
	}
	return parseState(string(buffer[:n])), nil
}

// wakeup is a descriptor that becomes readable when a context ends.
type wakeup struct {
	fd   int
	stop func() bool
	done chan struct{}
}

func wakeOn(ctx context.Context) (wakeup, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return wakeup{}, fmt.Errorf("cannot make an eventfd: %w", err)
	}
	w := wakeup{fd: fd, done: make(chan struct{})}
	w.stop = context.AfterFunc(ctx, func() {
		defer close(w.done)
		_, _ = unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	return w, nil
}

func (w wakeup) close() {
	if !w.stop() { // the write has begun: the number must not be reused under it
		<-w.done
	}
	_ = unix.Close(w.fd)
}
