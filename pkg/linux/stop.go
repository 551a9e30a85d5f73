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
	if err := n.keeper.Stop(ctx, keeper.Key{Name: name, Instance: id}, signal, timeout); err != nil {
		return err
	}
	return n.thaw(ctx, in)
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

// thaw lets a frozen instance act on the signal it was sent.
func (n *Node) thaw(ctx context.Context, in spec.Instance) error {
	if in.Phase != spec.InstancePaused {
		return nil
	}
	return n.Resume(ctx, in.Name, in.ID)
}
