package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

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

// lockFile, in an instance's directory, is there from the claim of a restore until packets come in that are kept out for another image than its own: one that the latest run
// ended in, or another container's of the group. It holds the number of the start.
const lockFile = "lock.json"

// noteLock says that a start is about to come whose network may be locked.
func (n *Node) noteLock(name string, id uint64, start int) error {
	return n.writeJSON(name, id, lockFile, start)
}

// settleLock unlocks the network of an instance that was restored, unless the start that was noted has not come: what it ended in is still to be restored then.
func (n *Node) settleLock(ctx context.Context, name string, id uint64) error {
	var start int
	if err := n.readJSON(name, id, lockFile, &start); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if in, err := n.known(name, id); err == nil && in.Starts >= start {
		if err := n.Unlock(ctx, name, in.Spec.Spec.Group); err != nil {
			return err
		}
	}
	return clear(filepath.Join(n.instanceDir(name, id), lockFile))
}
