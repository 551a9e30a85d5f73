package linux

import (
	"context"
	"fmt"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
)

// EndRepair is survey.EndRepair, of the container.
func (d *Dump) EndRepair() error { return survey.EndRepair(d.Cgroup) }

// Unlock lets packets into the network of a name, or of its group, that an image keeps out which is not to be restored there any more. A name without a
// network of its own, or without a lock, is success.
func (n *Node) Unlock(ctx context.Context, name, group string) error {
	_, files, err := n.keeper.Sandbox(ctx, sandboxKey(name, group))
	if err != nil {
		return err
	}
	defer closeAll(files)
	net := files[namespace.FileNet]
	if net == nil {
		return nil
	}
	if err := network.Unlock(net); err != nil {
		return fmt.Errorf("cannot unlock the network of %q: %w", name, err)
	}
	return nil
}
