package cgroup

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// bound is a row of the table on this host: in which hierarchy and how it is kept, or why it is not.
type bound struct {
	row
	store *store
	root  root
	err   error
}

// bind looks up once where every limit is kept. The parent itself has every file its children will have.
func (p *Parent) bind(t Tree) {
	for _, r := range table {
		b := bound{row: r, store: r.v2, root: p.unified, err: p.lacking[r.controller]}
		if t.V1[r.controller] != "" {
			b.store = r.v1
			i := slices.IndexFunc(p.v1, func(h hierarchy) bool { return slices.Contains(h.controllers, r.controller) })
			b.root = p.v1[i].root
		}
		if b.err == nil {
			b.err = b.missing()
		}
		p.limits = append(p.limits, b)
	}
}

// missing names the kernel file this host lacks, because of its version, configuration or hierarchy.
func (b bound) missing() error {
	if b.store == nil {
		return &ControllerError{Controller: b.controller, File: b.v2.files[0]}
	}
	for _, file := range b.store.files {
		var st unix.Stat_t
		if err := unix.Fstatat(int(b.root.dir.Fd()), file, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &ControllerError{Controller: b.controller, File: file, Err: err}
		}
	}
	return nil
}

// Wanted is r as this kernel stores it: sizes rounded to pages, processor time to microseconds of quota,
// lists merged and sorted. Limits that it does not keep, or would refuse, are left out. What Get reads after Set(r) equals Wanted(r).
func (p *Parent) Wanted(r spec.Resources) spec.Resources {
	var wanted spec.Resources
	for _, b := range p.limits {
		if b.err != nil || !b.said(r) {
			continue
		}
		if texts, err := b.store.encode(r); err == nil {
			_ = b.store.decode(texts, &wanted) // its own text: cannot fail
		}
	}
	return wanted
}

// Get reads the limits back, only those said in mask and kept here, so that drift from Wanted can be seen.
// A group that is not there is fs.ErrNotExist.
func (g *Group) Get(mask spec.Resources) (spec.Resources, error) {
	var got spec.Resources
	for _, b := range g.parent.limits {
		if b.err != nil || !b.said(mask) {
			continue
		}
		texts, err := g.texts(b, b.store.files)
		if err == nil {
			err = b.store.decode(texts, &got)
		}
		if err != nil {
			return spec.Resources{}, fmt.Errorf("cannot read %s of %s: %w", b.key, g, err)
		}
	}
	return got, nil
}

// change is one kernel file that differs from what is wanted.
type change struct {
	bound
	file, old, new string
}

// Set makes the group's limits those said in r, and the kernel's defaults where r says nothing. It writes only
// files that differ. When this host cannot keep one of the limits, or the kernel refuses one, none is
// changed. A memory limit below what is in use is reclaimed first and, where that fails, refused
// with *UsageError instead of killing inside the container.
func (g *Group) Set(r spec.Resources) error {
	if err := g.parent.Unsupported(r); err != nil {
		return fmt.Errorf("cannot limit %s: %w", g, err)
	}
	changes, err := g.changes(r)
	if err != nil {
		return err
	}
	done, err := g.apply(changes)
	if err != nil {
		for i := range done {
			done[i].new = done[i].old
		}
		slices.Reverse(done)
		_, undone := g.apply(done)
		return errors.Join(err, undone)
	}
	return nil
}

// changes compares every file of every limit kept here with what r asks for.
func (g *Group) changes(r spec.Resources) ([]change, error) {
	var changes []change
	for _, b := range g.parent.limits {
		if b.err != nil {
			continue
		}
		wanted, err := g.want(b, r)
		if err != nil {
			return nil, fmt.Errorf("cannot set %s of %s: %w", b.key, g, err)
		}
		files := b.store.files[:b.store.written]
		current, err := g.texts(b, files)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s of %s: %w", b.key, g, err)
		}
		for i, file := range files {
			if current[i] != wanted[i] {
				changes = append(changes, change{b, file, current[i], wanted[i]})
			}
		}
	}
	return changes, nil
}

// want gives the texts to be written for a limit, said or not.
func (g *Group) want(b bound, r spec.Resources) ([]string, error) {
	if b.said(r) {
		return b.store.encode(r)
	}
	wanted := slices.Clone(b.store.unset)
	for i, text := range wanted {
		if text == inherit {
			var err error
			if wanted[i], err = g.above(b.root, b.store.files[i]); err != nil {
				return nil, err
			}
		}
	}
	return wanted, nil
}

// above reads a file of the name's cgroup, the one above the group's.
func (g *Group) above(r root, file string) (string, error) {
	text, err := r.read(g.Name + "/" + file)
	return strings.TrimSpace(text), err
}

// texts reads files of a limit as the kernel prints them.
func (g *Group) texts(b bound, files []string) ([]string, error) {
	var texts []string
	for _, file := range files {
		text, err := b.root.read(g.path + "/" + file)
		if err != nil {
			return nil, err
		}
		texts = append(texts, strings.TrimSpace(text))
	}
	return texts, nil
}

// apply writes changes and returns those that were made. Some limits bound each other (v1: memory
// without swap must stay below memory with swap), so a write that is refused as invalid is tried again after the others.
func (g *Group) apply(changes []change) (done []change, err error) {
	var again []change
	for _, c := range changes {
		switch err := g.write(c); {
		case err == nil:
			done = append(done, c)
		case errors.Is(err, unix.EINVAL):
			again = append(again, c)
		default:
			return done, err
		}
	}
	for _, c := range again {
		if err := g.write(c); err != nil {
			return done, err
		}
		done = append(done, c)
	}
	return done, nil
}

func (g *Group) write(c change) error {
	dir, err := c.root.sub(g.path)
	if err != nil {
		return err
	}
	defer dir.dir.Close()
	if c.store.prepare != nil {
		err = c.store.prepare(dir, c.new)
	}
	if err == nil {
		err = dir.write(c.file, c.new)
	}
	if errors.Is(err, unix.ENOSPC) && c.new == "" { // a cpuset with processes cannot be made empty, which would mean what is above
		if c.new, err = g.above(c.root, c.file+".effective"); err == nil {
			err = dir.write(c.file, c.new)
		}
	}
	if errors.Is(err, unix.EBUSY) && c.store == c.v1 && c.controller == "memory" { // it could not reclaim enough
		err = cmp.Or(inUse(dir, "memory.usage_in_bytes", c.new), err)
	}
	if err != nil {
		return fmt.Errorf("cannot set %s of %s to %q: %w", c.key, g, c.new, err)
	}
	return nil
}
