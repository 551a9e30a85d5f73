package cgroup

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Wanted is r as this kernel stores it: sizes rounded to pages, processor time to microseconds of quota,
// lists merged and sorted. Limits that it does not keep, or would refuse, are left out. What Get reads after Set(r) equals Wanted(r).
func (p *Parent) Wanted(r spec.Resources) spec.Resources {
	var wanted spec.Resources
	for _, b := range p.bounds() {
		if b.err != nil || !b.said(&r) || b.lacks(r) != nil {
			continue
		}
		if settings, err := b.store.encode(r); err == nil {
			_ = b.store.decode(settings, &wanted) // its own text: cannot fail
		}
	}
	wanted.Unified = p.wantedRaw(r.Unified)
	return wanted
}

// Get reads the limits back, only those said in mask and kept here, so that drift from Wanted can be seen.
// A group that is not there is fs.ErrNotExist.
func (g *Group) Get(mask spec.Resources) (got spec.Resources, err error) {
	f := g.files()
	defer f.close()
	for _, b := range g.parent.bounds() {
		if b.err != nil || !b.said(&mask) {
			continue
		}
		settings, err := b.store.encode(mask)
		if err != nil {
			continue // as in Wanted
		}
		for i, s := range settings {
			if settings[i].text, err = f.kernel(b.root, s); err != nil {
				break
			}
		}
		if b.optional() && errors.Is(err, fs.ErrNotExist) && f.has(g.parent.unified) { // removed by hand from a hierarchy: drift
			continue
		}
		if err == nil {
			err = b.store.decode(settings, &got)
		}
		if err != nil {
			return spec.Resources{}, fmt.Errorf("cannot read %s of %s: %w", b.key, g, err)
		}
	}
	got.Unified, err = g.getRaw(f, mask.Unified)
	return got, err
}

// change is one setting that differs from what is wanted.
type change struct {
	bound
	setting
	old string
}

// Set makes the group's limits those said in r, and the kernel's defaults where r says nothing. It writes only
// files that differ. When this host cannot keep one of the limits, or the kernel refuses one, none is
// changed. A memory limit below what is in use is reclaimed first and, where that fails, refused
// with *UsageError instead of killing inside the container.
func (g *Group) Set(r spec.Resources) error {
	if err := g.parent.Unsupported(r); err != nil {
		return fmt.Errorf("cannot limit %s: %w", g, err)
	}
	err := g.include(r)
	if err == nil && !g.fresh.limits {
		err = g.reassert(r)
	}
	if err != nil {
		return fmt.Errorf("cannot limit %s: %w", g, err)
	}
	f := g.files()
	defer f.close()
	changes, err := g.changes(f, r)
	if err != nil {
		return err
	}
	done, err := g.apply(f, changes)
	if err == nil {
		err = g.setRaw(f, r.Unified)
	}
	if err != nil {
		for i := range done {
			done[i].text = done[i].old
		}
		slices.Reverse(done)
		_, undone := g.apply(f, done)
		return errors.Join(err, undone)
	}
	g.fresh.limits = false
	return nil
}

// changes compares what every limit kept here has with what r asks for.
func (g *Group) changes(f *files, r spec.Resources) ([]change, error) {
	wanted, err := g.want(f, r)
	if err != nil {
		return nil, err
	}
	var changes []change
	for _, c := range wanted {
		if c.text == inherit {
			if c.text, err = g.above(c.root, c.file); err != nil {
				return nil, err
			}
		}
		c.old, err = f.kernel(c.root, c.setting)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s of %s: %w", c.key, g, c.lacked(err, f))
		}
		if c.old != c.text {
			changes = append(changes, c)
		}
	}
	return changes, nil
}

// lacked makes a *ControllerError of a missing file of a controller that was handed down just now.
func (c change) lacked(err error, f *files) error {
	if c.optional() && errors.Is(err, fs.ErrNotExist) && f.has(c.root) {
		return &ControllerError{Controller: c.controller, File: c.file, Err: err}
	}
	return err
}

// want gives every setting there is to be, each once: what is said, and the default of what is not. A group that was just made has the
// defaults already.
func (g *Group) want(f *files, r spec.Resources) (wanted []change, err error) {
	claims := newClaims()
	for _, b := range g.parent.bounds() {
		if b.err != nil || !b.said(&r) {
			continue
		}
		settings, err := b.store.encode(r)
		for i := 0; i < len(settings) && err == nil; i++ {
			var first bool
			if first, err = claims.say(b, settings[i]); first {
				wanted = append(wanted, change{bound: b, setting: settings[i]})
			}
		}
		if err == nil {
			err = claims.cover(b)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot set %s of %s: %w", b.key, g, err)
		}
	}
	if err := claims.coverRaw(g.parent, r.Unified); err != nil {
		return nil, fmt.Errorf("cannot limit %s: %w", g, err)
	}
	if g.fresh.limits {
		return wanted, nil
	}
	for _, b := range g.parent.bounds() {
		unset, err := f.unset(b)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s of %s: %w", b.key, g, err)
		}
		for _, s := range unset {
			if claims.leave(b, s) {
				wanted = append(wanted, change{bound: b, setting: s})
			}
		}
	}
	return wanted, nil
}

// above reads a file of the cgroup above the group's.
func (g *Group) above(r root, file string) (string, error) {
	text, err := r.read(path.Join(path.Dir(g.path), file))
	return strings.TrimSpace(text), err
}

// apply writes changes and returns those that were made. Some limits bound each other (v1: memory
// without swap must stay below memory with swap), so a write that is refused as invalid is tried again after the others.
func (g *Group) apply(f *files, changes []change) (done []change, err error) {
	var again []change
	for _, c := range changes {
		switch err := g.write(f, c); {
		case err == nil:
			done = append(done, c)
		case errors.Is(err, unix.EINVAL):
			again = append(again, c)
		default:
			return done, err
		}
	}
	for _, c := range again {
		if err := g.write(f, c); err != nil {
			return done, err
		}
		done = append(done, c)
	}
	return done, nil
}

func (g *Group) write(f *files, c change) error {
	if c.file == rtRuntime { // what is above is shared with others
		g.parent.budget.Lock()
		defer g.parent.budget.Unlock()
	}
	dir, err := f.dir(c.root)
	if err == nil && c.store.prepare != nil {
		err = c.store.prepare(dir, c.text)
	}
	if err == nil {
		err = dir.write(c.file, c.line())
	}
	if errors.Is(err, unix.ENOSPC) && c.text == "" { // a cpuset with processes cannot be made empty, which would mean what is above
		if c.text, err = g.above(c.root, c.file+".effective"); err == nil {
			err = dir.write(c.file, c.text)
		}
	}
	if errors.Is(err, unix.EBUSY) && c.store == c.v1 && c.controller == "memory" { // it could not reclaim enough
		err = cmp.Or(inUse(dir, "memory.usage_in_bytes", c.text), err)
	}
	if err != nil {
		return fmt.Errorf("cannot set %s of %s to %q: %w", c.key, g, c.line(), err)
	}
	return nil
}
