package linux

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Shutdown ends the keeper of a node without instances and removes the cgroup parent, so that nothing of the node is left; where there is something to
// keep, it does nothing. Close still has to be called, and nothing else can be: events end.
func (n *Node) Shutdown(ctx context.Context) error {
	all, err := n.Observe(ctx)
	if err != nil || len(all) > 0 {
		return err
	}
	if err := n.endKeeper(ctx); err != nil {
		return err
	}
	return n.groups().Remove()
}

// giveUp ends the keeper that a failed Open has started, or found with nothing to keep.
func (n *Node) giveUp(ctx context.Context) error {
	if n.keeper == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if kept, err := n.keeper.List(ctx); err != nil || len(kept) > 0 {
		return err
	}
	return n.endKeeper(ctx)
}

// endKeeper asks the keeper to end and waits until it has.
func (n *Node) endKeeper(ctx context.Context) error {
	hello, err := n.keeper.Hello(ctx)
	if err != nil {
		return err
	}
	start, err := process.StartTime(hello.Pid)
	if err != nil {
		return err
	}
	pidfd, err := process.OpenVerified(hello.Pid, start)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pidfd.Close()
	if err := n.keeper.Close(); err != nil { // whoever hears events would start another
		return err
	}
	if err := process.Signal(pidfd, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot end keeper %d: %w", hello.Pid, err)
	}
	poll := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
	for deadline := time.Now().Add(shutdownTimeout); ; {
		ended, err := unix.Poll(poll, int(max(time.Until(deadline), 0).Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("cannot wait for keeper %d: %w", hello.Pid, err)
		case ended == 0:
			return fmt.Errorf("keeper %d does not end: %w", hello.Pid, unix.EBUSY)
		default:
			return nil
		}
	}
}

// shutdownTimeout bounds the wait for a keeper that was asked to end.
const shutdownTimeout = 30 * time.Second
