// Package machine is one machine: the backend of pkg/linux together with the images of pkg/checkpoint, which do not know each other. It
// joins the two and refuses to decide anything.
//
//	Checkpoint   linux.Dump: pids, mounts, pipes ──> criu.Conn.Dump ──> image.Writer
//	Restore      image.Reader, checked ──> linux.Restore: the tree, a restorer ──> criu.Conn.Restore ──> commit
package machine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Node is a backend that takes and restores images.
type Node struct {
	*linux.Node

	cfg    Config
	images *image.Store

	still still // containers of which images are being taken

	life    context.Context // until Close
	end     context.CancelFunc
	filling sync.WaitGroup // those who wait for memory that still comes

	find  sync.Mutex // held while criu is looked for and tried
	proof criu.Proof // what it can do here, once it was tried
}

// Config says where a node keeps its things, and what it takes images with.
type Config struct {
	linux.Config
	// CRIU is the criu program. Default: the first on the PATH, or where this project's installation puts it. It is used if it proves itself,
	// for which the program calls criu.Hook first in main, beside keeper.Hook.
	CRIU string
}

// Open opens the backend, as linux.Open does, and the images below StateDir.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	backend, err := linux.Open(ctx, cfg.Config)
	if err != nil {
		return nil, err
	}
	images, err := image.Open(filepath.Join(cfg.StateDir, "checkpoints"))
	if err != nil {
		return nil, errors.Join(err, backend.Close())
	}
	n := &Node{Node: backend, cfg: cfg, images: images}
	n.life, n.end = context.WithCancel(context.WithoutCancel(ctx))
	if err := images.Swept(); err != nil {
		cfg.Log.Error(err, "leftovers of images stay")
	}
	if err := n.settle(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Close lets go of the node and of the images.
func (n *Node) Close() error {
	n.end()
	n.filling.Wait()
	return errors.Join(n.images.Close(), n.Node.Close())
}

// Images lists images; see reconcile.Node.
func (n *Node) Images(_ context.Context, name string) ([]spec.Image, error) {
	return n.images.List(name)
}

// RemoveImage removes one; see reconcile.Node.
func (n *Node) RemoveImage(_ context.Context, ref string) error { return n.images.Remove(ref) }

// about says which verb failed on which container.
func about(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s %q: %w", verb, name, err)
}
