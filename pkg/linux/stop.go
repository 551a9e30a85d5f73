package linux

import (
	"context"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Stop asks process 1 to end and has the keeper kill the cgroup after timeout; see reconcile.Node.
func (n *Node) Stop(ctx context.Context, name string, id uint64, signal string, timeout time.Duration) (err error) {
	defer func() { err = about("stop", name, err) }()
	in, err := n.known(name, id)
	if err != nil || !live(in) {
		return err
	}
	if err := n.thaw(ctx, in); err != nil {
		return err
	}
	return n.keeper.Stop(ctx, keeper.Key{Name: name, Instance: id}, signal, timeout)
}

// Kill sends a signal to process 1, SIGKILL to the whole cgroup, without a deadline.
func (n *Node) Kill(ctx context.Context, name string, id uint64, signal string) (err error) {
	defer func() { err = about("kill", name, err) }()
	in, err := n.known(name, id)
	if err != nil || !live(in) {
		return err
	}
	return n.keeper.Kill(ctx, keeper.Key{Name: name, Instance: id}, signal)
}

// live tells whether an instance has a process.
func live(in spec.Instance) bool {
	return in.Phase == spec.InstanceRunning || in.Phase == spec.InstancePaused
}

// thaw lets a frozen instance, and not its group, act on a signal. It comes before the signal: a process that is frozen in the middle of a
// fork blocks signals that it neither handles nor would ever see.
func (n *Node) thaw(ctx context.Context, in spec.Instance) error {
	if in.Phase != spec.InstancePaused {
		return nil
	}
	group, err := n.group(in.Name, in.ID)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, freezeTimeout)
	defer cancel()
	return group.Thaw(ctx)
}
