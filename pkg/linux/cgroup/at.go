package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// At names a cgroup by its path below every mount point, for a container whose engine says where it goes: user.slice/engine-1.scope. It makes
// nothing, locks nothing, and belongs to no parent: Create makes what is missing above it, which stays when it is removed. It is in every
// hierarchy there is, as engines expect. Close closes it.
func At(tree Tree, name string) (*Group, error) {
	name = strings.TrimPrefix(name, "/")
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\n\x00") {
		return nil, fmt.Errorf("cannot use %q as a cgroup: want a path without . and .. below the mount point: %w", name, fs.ErrInvalid)
	}
	p := &Parent{full: name, lone: name, tree: tree, lacking: tree.Available()}
	g := &Group{Name: name, parent: p, path: name, lone: true}
	if err := p.openRoots(); err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("cannot open cgroup %s: %w", name, err)
	}
	return g, nil
}

// openRoots opens every hierarchy at its mount point.
func (p *Parent) openRoots() (err error) {
	if p.unified, err = openRoot(p.tree.Unified); err != nil {
		return err
	}
	for _, point := range p.tree.points() {
		h := p.tree.hierarchy(point)
		h.optional = false
		if h.root, err = openRoot(point); err != nil {
			return err
		}
		p.v1 = append(p.v1, h)
	}
	return nil
}

// Close closes the descriptors of a group that At opened; the cgroup stays. Others hold none.
func (g *Group) Close() error {
	if !g.lone {
		return nil
	}
	return g.parent.Close()
}

// createAt makes the group and everything above it.
func (g *Group) createAt() error {
	if err := g.vacant(); err != nil {
		return err
	}
	p, isFresh := g.parent, true
	make := func(r root, visit func(level root) error) error {
		above, _, err := descend(r.dir.Name(), path.Dir(g.path), visit)
		if err != nil {
			return err
		}
		defer above.dir.Close()
		isNew, err := above.make(path.Base(g.path))
		isFresh = isFresh && isNew
		return err
	}
	if err := make(p.unified, func(level root) error { p.enable(level); return nil }); err != nil {
		return err
	}
	if err := g.domain(); err != nil {
		return err
	}
	for _, h := range p.v1 {
		if err := make(h.root, h.prepare); err != nil {
			return err
		}
		leaf, err := h.sub(g.path)
		if err != nil {
			return err
		}
		if err := errors.Join(h.prepare(leaf), leaf.dir.Close()); err != nil {
			return err
		}
	}
	p.unbind()
	g.fresh = fresh{isFresh, isFresh}
	return nil
}

// vacant is an *OccupiedError when there are processes in the group, in any hierarchy, or it is frozen: it would be shared with them, and
// nothing started in it would run.
func (g *Group) vacant() error {
	for _, r := range g.parent.all() {
		text, err := r.read(g.path + "/cgroup.procs")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if n := len(strings.Fields(text)); n > 0 {
			return &OccupiedError{Path: r.path(g.path), Processes: n}
		}
	}
	if frozen, err := g.Freezing(); err == nil && frozen {
		return &OccupiedError{Path: g.Path(), Frozen: true}
	}
	return nil
}

// domain refuses a cgroup in which no process can be started, because a cgroup above it is threaded (cgroup-v2.rst, Threads).
func (g *Group) domain() error {
	text, err := g.parent.unified.read(g.path + "/cgroup.type")
	if kind := strings.TrimSpace(text); err == nil && !slices.Contains([]string{"domain", "domain threaded"}, kind) {
		return fmt.Errorf("%s is %s: a cgroup above it has processes and hands controllers of threads down: %w", g.Path(), kind, unix.EOPNOTSUPP)
	}
	return err
}
