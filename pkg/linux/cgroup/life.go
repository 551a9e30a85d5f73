package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// Create makes the group in every hierarchy that a group without limits is in. One that is there is success, but for a group by
// itself: with processes in it, or frozen, it is an *OccupiedError. What it made is removed again when it fails.
func (g *Group) Create() error {
	existed := g.Exists()
	make := g.create
	if g.lone {
		make = g.createAt
	}
	err := make()
	if err != nil && !existed {
		err = errors.Join(err, g.Remove(context.Background()))
	}
	if err != nil {
		return fmt.Errorf("cannot create cgroup %s: %w", g, err)
	}
	return nil
}

func (g *Group) create() error {
	p, name := g.parent, path.Dir(g.path)
	if err := p.unified.mkdir(name); err != nil {
		return err
	}
	if on := p.handedDown(); on != "" {
		if err := p.unified.write(name+"/cgroup.subtree_control", on); err != nil {
			return err
		}
	}
	isFresh, err := p.unified.make(g.path)
	if err != nil {
		return err
	}
	for _, h := range p.v1 {
		if h.optional {
			continue
		}
		if err := h.mkdir(name); err != nil {
			return err
		}
		isNew, err := h.make(g.path)
		if err != nil {
			return err
		}
		isFresh = isFresh && isNew
	}
	if isFresh {
		g.fresh = fresh{true, true}
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
// instance. What is above a group by itself stays. Nothing there is success. It waits for dying tasks until ctx ends, at most 10 seconds, but
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
	if g.lone {
		return nil
	}
	if err := r.rmdir(path.Dir(g.path)); err != nil && !errors.Is(err, unix.EBUSY) { // busy: other instances
		return err
	}
	return nil
}
