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
// keep, it does nothing. Close still has to be called.
func (n *Node) Shutdown(ctx context.Context) error {
	all, err := n.Observe(ctx)
	if err != nil || len(all) > 0 {
		return err
	}
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
	if err := process.Signal(pidfd, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot end keeper %d: %w", hello.Pid, err)
	}
	poll := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
	if _, err := unix.Poll(poll, int(shutdownTimeout.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("cannot wait for keeper %d: %w", hello.Pid, err)
	}
	return n.parent.Remove()
}

// shutdownTimeout bounds the wait for a keeper that was asked to end.
const shutdownTimeout = 5 * time.Second
