package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// Create makes the group in every hierarchy, without limits. One that is there is success. What it made
// is removed again when it fails.
func (g *Group) Create() error {
	existed := g.Exists()
	err := g.create()
	if err != nil && !existed {
		err = errors.Join(err, g.Remove(context.Background()))
	}
	if err != nil {
		return fmt.Errorf("cannot create cgroup %s: %w", g, err)
	}
	return nil
}

func (g *Group) create() error {
	if err := g.parent.unified.mkdir(g.Name); err != nil {
		return err
	}
	if on := g.parent.handedDown(); on != "" {
		if err := g.parent.unified.write(g.Name+"/cgroup.subtree_control", on); err != nil {
			return err
		}
	}
	if err := g.parent.unified.mkdir(g.path); err != nil {
		return err
	}
	for _, h := range g.parent.v1 {
		if err := errors.Join(h.mkdir(g.Name), h.mkdir(g.path)); err != nil {
			return err
		}
	}
	return nil
}

// Bounds of Remove: the kernel keeps a cgroup busy for moments after its last task has died.
const (
	removeFirstWait = time.Millisecond
	removeLastWait  = 100 * time.Millisecond
	removeTimeout   = 10 * time.Second
)

// Remove removes the group and what its container made below it, and the name's cgroup with its last
// instance. Nothing there is success. It waits for dying tasks until ctx ends, at most 10 seconds, but
// kills none: a group with processes stays, and the error is EBUSY.
func (g *Group) Remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	for _, r := range g.parent.all() {
		if err := g.removeIn(ctx, r); err != nil {
			return fmt.Errorf("cannot remove cgroup %s: %w", g, err)
		}
	}
	return nil
}

// all are the parent's directories, the unified one last.
func (p *Parent) all() []root {
	var all []root
	for _, h := range p.v1 {
		all = append(all, h.root)
	}
	return append(all, p.unified)
}

func (g *Group) removeIn(ctx context.Context, r root) error {
	wait := removeFirstWait
	for {
		err := r.rmdir(g.path)
		if errors.Is(err, unix.EBUSY) { // there are others in it, or dying tasks
			err = r.walk(g.path, r.rmdir)
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			break
		}
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(wait):
			wait = min(2*wait, removeLastWait)
		}
	}
	if err := r.rmdir(g.Name); err != nil && !errors.Is(err, unix.EBUSY) { // busy: other instances
		return err
	}
	return nil
}
