package simnode

import (
	"context"
	"errors"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Checkpoint takes an image of an instance in memory.
func (n *Node) Checkpoint(context.Context, string, uint64, spec.CheckpointOptions) (spec.Image, error) {
	return spec.Image{}, errors.ErrUnsupported
}

// Restore starts an instance from an image.
func (n *Node) Restore(context.Context, string, uint64, string) error { return errors.ErrUnsupported }

// Images lists images.
func (n *Node) Images(context.Context, string) ([]spec.Image, error) { return nil, nil }

// RemoveImage removes one.
func (n *Node) RemoveImage(context.Context, string) error { return nil }
