package linux

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// freezeTimeout bounds a freeze: a task stuck in the kernel cannot be frozen, and the container is then thawed again.
const freezeTimeout = 5 * time.Second

// Pause freezes an instance, and with it the rest of its group, and returns when every process has stopped.
func (n *Node) Pause(ctx context.Context, name string, id uint64) (err error) {
	defer func() { err = about("pause", name, err) }()
	in, err := n.known(name, id)
	if err != nil {
		return err
	}
	if !live(in) {
		return &classed{fmt.Errorf("instance %d is %s: %w", id, in.Phase, spec.ErrNotRunning), fs.ErrInvalid}
	}
	groups, err := n.frozenWith(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, freezeTimeout)
	defer cancel()
	return cgroup.Freeze(ctx, groups...)
}

// Resume thaws an instance, and with it the rest of its group, and returns when it runs; one that is not frozen is success.
func (n *Node) Resume(ctx context.Context, name string, id uint64) (err error) {
	defer func() { err = about("resume", name, err) }()
	in, err := n.known(name, id)
	if err != nil {
		return err
	}
	groups, err := n.frozenWith(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, freezeTimeout)
	defer cancel()
	return cgroup.Thaw(ctx, groups...)
}

// known looks at an instance that must be there: fs.ErrNotExist otherwise, or when it is Broken.
func (n *Node) known(name string, id uint64) (spec.Instance, error) {
	in, err := n.look(name, id)
	if err != nil {
		return in, err
	}
	if in.Phase == spec.InstanceBroken {
		return in, fmt.Errorf("instance %d: %s: %w", id, in.Problem, fs.ErrNotExist)
	}
	return in, nil
}
