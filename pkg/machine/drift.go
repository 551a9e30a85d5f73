package machine

import (
	"context"
	"fmt"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Drift compares what runs with what its start made; see reconcile.Node. Who is dumped is traced, and stands still or does not: nobody looks.
func (n *Node) Drift(ctx context.Context, name string, instance uint64) ([]spec.Drift, error) {
	if n.still.isHeld(name) {
		return nil, about("look deep into", name, fmt.Errorf("an image is being taken of it: %w", spec.ErrBusy))
	}
	return n.Node.Drift(ctx, name, instance)
}

// Repair waits until no image is being taken; see reconcile.Node.
func (n *Node) Repair(ctx context.Context, name string, instance uint64, fields ...string) error {
	if err := n.still.await(ctx, name, nil); err != nil {
		return about("repair", name, err)
	}
	return n.Node.Repair(ctx, name, instance, fields...)
}
