package cgroup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// names are DNS labels: what a cgroup of ours can be called. Anything else below the parent is not ours.
var names = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Group is the cgroup of one instance of a container, PARENT/NAME/INSTANCE in every hierarchy, whether it
// exists or not. It holds no descriptors. Verbs on a group that is not there return fs.ErrNotExist
// unless they say otherwise. Methods of different names may run in parallel.
type Group struct {
	Name     string
	Instance uint64

	parent *Parent
	path   string // NAME/INSTANCE
}

// Group names the cgroup of an instance; it makes nothing. name must be a DNS label.
func (p *Parent) Group(name string, instance uint64) (*Group, error) {
	if !names.MatchString(name) {
		return nil, fmt.Errorf("cannot name a cgroup %q: want at most 63 characters of [a-z0-9-]: %w", name, fs.ErrInvalid)
	}
	return &Group{name, instance, p, name + "/" + strconv.FormatUint(instance, 10)}, nil
}

// List names every group that is there, by name and instance; what else is below the parent is passed over.
func (p *Parent) List() ([]*Group, error) {
	all, err := p.unified.dirs(".")
	if err != nil {
		return nil, err
	}
	var groups []*Group
	for _, name := range all {
		found, err := p.ListOne(name)
		if err != nil && !errors.Is(err, fs.ErrInvalid) {
			return nil, err
		}
		groups = append(groups, found...)
	}
	return groups, nil
}

// ListOne is List for one name; none is no error.
func (p *Parent) ListOne(name string) ([]*Group, error) {
	if _, err := p.Group(name, 0); err != nil {
		return nil, err
	}
	instances, err := p.unified.dirs(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var groups []*Group
	for _, id := range instances {
		n, err := strconv.ParseUint(id, 10, 64)
		if err == nil && strconv.FormatUint(n, 10) == id {
			groups = append(groups, &Group{name, n, p, name + "/" + id})
		}
	}
	slices.SortFunc(groups, func(a, b *Group) int { return cmp.Compare(a.Instance, b.Instance) })
	return groups, nil
}

// String is NAME/INSTANCE.
func (g *Group) String() string { return g.path }

// Path is the group's directory in the unified hierarchy.
func (g *Group) Path() string { return g.parent.unified.path(g.path) }

// Exists tells whether the group is there, at least in part.
func (g *Group) Exists() bool {
	d, err := g.Dir()
	if err == nil {
		_ = d.Close()
	}
	return err == nil
}

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

// handedDown is what NAME's cgroup.subtree_control gets: "+cpu +memory", "" when v2 has none of ours.
func (p *Parent) handedDown() string {
	var on []string
	for _, c := range controllers {
		v1 := slices.ContainsFunc(p.v1, func(h hierarchy) bool { return slices.Contains(h.controllers, c) })
		if !v1 && p.lacking[c] == nil {
			on = append(on, "+"+c)
		}
	}
	return strings.Join(on, " ")
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
		err := r.walk(g.path, r.rmdir)
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

// Dir opens the group's directory in the unified hierarchy, for CLONE_INTO_CGROUP (clone(2)).
func (g *Group) Dir() (*os.File, error) {
	return g.parent.unified.open(g.path, unix.O_DIRECTORY|unix.O_RDONLY)
}

// Procs are the pids in the group and below it, ascending, as the caller's pid namespace numbers them.
func (g *Group) Procs() ([]int, error) {
	var pids []int
	r := g.parent.unified
	err := r.walk(g.path, func(name string) error {
		text, err := r.read(path.Join(name, "cgroup.procs"))
		if errors.Is(err, unix.EOPNOTSUPP) { // a threaded cgroup: its processes are listed above it
			return nil
		}
		for line := range strings.Lines(text) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return err
	})
	slices.Sort(pids)
	return pids, err
}

// OOMFile is the absolute path of the file whose line "oom_kill N" counts kills for want of memory:
// memory.events on v2, memory.oom_control on v1; "" without the memory controller.
func (g *Group) OOMFile() string {
	for _, b := range g.parent.limits {
		switch {
		case b.controller != "memory" || g.parent.lacking["memory"] != nil:
		case b.store == b.v2:
			return b.root.path(g.path + "/memory.events")
		default:
			return b.root.path(g.path + "/memory.oom_control")
		}
	}
	return ""
}

// OOMKills is the count in OOMFile, 0 without the memory controller.
func (g *Group) OOMKills() (uint64, error) {
	file := g.OOMFile()
	if file == "" {
		return 0, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return keyed(string(text))["oom_kill"], nil
}

// keyed reads a flat keyed file: lines of a word and a number (cgroup-v2.rst, Interface Files).
func keyed(text string) map[string]uint64 {
	values := map[string]uint64{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			values[key] = n
		}
	}
	return values
}
