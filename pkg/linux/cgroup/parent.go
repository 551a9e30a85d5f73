package cgroup

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Config says where containers go.
type Config struct {
	Tree Tree
	// Parent is the cgroup above all containers, a path below every mount point: reconciler, or
	// system.slice/reconciler.scope/containers.
	Parent string
}

// Parent is the open cgroup above all containers, in every hierarchy. Its methods are safe for concurrent use.
type Parent struct {
	name    string
	full    string // the path whose units are systemd's: name, or that of the one group
	tree    Tree
	unified root
	v1      []hierarchy
	lacking map[string]error // by controller, why it cannot be used below this parent; nil when it can
	limits  []bound          // one for each row of the table; see bounds
	lone    string           // the path of the one group, see At

	binding  sync.Mutex // guards limits
	budget   sync.Mutex // guards real-time runtime, which is shared out from the top
	programs programs
}

// hierarchy is the parent in one v1 hierarchy.
type hierarchy struct {
	root
	controllers []string // by their v1 names
	optional    bool     // a group is in it only with a limit that needs it
}

// Open makes the parent where it is missing, hands controllers down to it and locks it against a second
// agent, which gets a *LockedError. A controller that cannot be handed down is no error here: limits
// that need it are refused, see Unsupported. Close releases the lock; containers stay.
func Open(c Config) (*Parent, error) {
	if err := CheckParent(c.Parent); err != nil {
		return nil, err
	}
	p := &Parent{name: c.Parent, full: c.Parent, tree: c.Tree, lacking: c.Tree.Available()}
	made, err := p.open()
	if err != nil {
		for _, dir := range slices.Backward(made) {
			_ = rmdirPath(dir)
		}
		_ = p.Close()
		return nil, fmt.Errorf("cannot open cgroup parent %s: %w", c.Parent, err)
	}
	return p, nil
}

// CheckParent says why a Config's Parent can be none. The error is fs.ErrInvalid.
func CheckParent(parent string) error {
	if !fs.ValidPath(parent) || parent == "." || strings.Contains(parent, "\n") {
		return fmt.Errorf("cannot use %q as cgroup parent: want a path without . and .. below the mount point: %w", parent, fs.ErrInvalid)
	}
	return nil
}

// open does the work of Open and names the directories it made.
func (p *Parent) open() (made []string, err error) {
	p.unified, made, err = descend(p.tree.Unified, p.name, func(level root) error { p.enable(level); return nil })
	if err != nil {
		return made, err
	}
	if err := lock(p.unified, p.name); err != nil {
		return made, err
	}
	for _, point := range p.tree.points() {
		h := p.tree.hierarchy(point)
		if !h.limits() {
			continue
		}
		top, more, err := descend(point, p.name, h.prepare)
		made = append(made, more...)
		if err != nil {
			return made, err
		}
		h.root = top
		p.v1 = append(p.v1, h)
		if h.has("cpuset") { // cgroups made below inherit by themselves
			if err := top.write("cgroup.clone_children", "1"); err != nil {
				return made, err
			}
		}
	}
	p.bind(".")
	return made, nil
}

// points are the mount points of the v1 hierarchies, sorted.
func (t Tree) points() []string {
	return slices.Compact(slices.Sorted(maps.Values(t.V1)))
}

// hierarchy is what is mounted at a v1 mount point, not opened yet.
func (t Tree) hierarchy(point string) hierarchy {
	h := hierarchy{optional: true}
	for _, c := range controllers {
		if c.v1 != "" && t.V1[c.v1] == point {
			h.controllers = append(h.controllers, c.v1)
			h.optional = h.optional && c.optional
		}
	}
	return h
}

// hierarchyOf is the v1 hierarchy of a controller, if there is one.
func (p *Parent) hierarchyOf(controller string) (hierarchy, bool) {
	i := slices.IndexFunc(p.v1, func(h hierarchy) bool { return h.has(controller) })
	if i < 0 {
		return hierarchy{}, false
	}
	return p.v1[i], true
}

func (h hierarchy) has(controller string) bool { return slices.Contains(h.controllers, controller) }

// limits tells whether a group may ever have a reason to be in the hierarchy.
func (h hierarchy) limits() bool {
	return h.has("devices") || slices.ContainsFunc(table, func(r row) bool { return h.has(r.v1Name()) })
}

// prepare makes a level fit for tasks below it.
func (h hierarchy) prepare(level root) error {
	if h.has("cpuset") {
		return inheritCpuset(level)
	}
	return nil
}

// descend goes from a mount point down to a cgroup, making what is missing and visiting every level, the
// first and the last included.
func descend(point, name string, visit func(level root) error) (_ root, made []string, err error) {
	level, err := openRoot(point)
	if err != nil {
		return root{}, nil, err
	}
	for step := range strings.SplitSeq(name, "/") {
		next, isNew, err := enter(level, step, visit)
		if isNew {
			made = append(made, level.path(step))
		}
		_ = level.dir.Close()
		if err != nil {
			return root{}, made, err
		}
		level = next
	}
	if err := visit(level); err != nil {
		_ = level.dir.Close()
		return root{}, made, err
	}
	return level, made, nil
}

// enter visits one level and opens a cgroup of it, making it when it is missing.
func enter(level root, step string, visit func(level root) error) (next root, isNew bool, err error) {
	if err := visit(level); err != nil {
		return root{}, false, err
	}
	if next, err = level.sub(step); !errors.Is(err, fs.ErrNotExist) {
		return next, false, err
	}
	if err := level.mkdir(step); err != nil {
		return root{}, false, err
	}
	next, err = level.sub(step)
	return next, true, err
}

// Name is the parent's path below every mount point.
func (p *Parent) Name() string { return p.name }

// Path is the parent's directory in the unified hierarchy.
func (p *Parent) Path() string { return p.unified.dir.Name() }

// Exists tells whether the parent is still there. systemd, for one, removes the cgroup of a scope whose last process has ended.
func (p *Parent) Exists() bool {
	return unix.Faccessat(int(p.unified.dir.Fd()), "cgroup.procs", unix.F_OK, 0) == nil
}

// Unsupported says which of the limits said in r this host cannot keep, all at once, as *ControllerError
// wrapped in errors; nil when it keeps them all. Set refuses with the same error.
func (p *Parent) Unsupported(r spec.Resources) error {
	var errs []error
	for _, b := range p.bounds() {
		if !b.said(&r) {
			continue
		}
		if err := cmp.Or(b.err, b.lacks(r)); err != nil {
			errs = append(errs, fmt.Errorf("cannot keep %s: %w", b.key, err))
		}
	}
	err := errors.Join(append(errs, p.unsupportedRaw(r.Unified)...)...)
	if errors.Is(err, errKept) {
		err = fmt.Errorf("%w\nhint: a cgroup that is none of systemd's has every controller: run --cgroup-parent /reconciler", err)
	}
	return err
}

// Close releases the lock and the descriptors. Containers and cgroups stay.
func (p *Parent) Close() error {
	var errs []error
	p.programs.close()
	if p.unified.dir != nil {
		errs = append(errs, p.unified.dir.Close())
	}
	for _, h := range p.v1 {
		errs = append(errs, h.dir.Close())
	}
	return errors.Join(errs...)
}

// Remove removes the parent itself from every hierarchy, the unified one last. It must be empty.
func (p *Parent) Remove() error {
	for _, h := range p.v1 {
		if err := rmdirPath(h.dir.Name()); err != nil {
			return err
		}
	}
	return rmdirPath(p.unified.dir.Name())
}
