package cgroup

import (
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
	dir   string // where the root has the files of limits to look at: those that its cgroups will have
	err   error
}

// bind looks up once where every limit is kept. dir is a directory that has every file a group has, below each of the parent's.
func (p *Parent) bind(dir string) {
	p.limits = nil
	for _, r := range table {
		b := bound{row: r, store: r.v2, root: p.unified, dir: dir, err: p.lacking[r.controller]}
		if h, ok := p.hierarchyOf(r.v1Name()); ok {
			b.store, b.root = r.v1, h.root
		}
		if b.err == nil {
			b.store, b.err = b.choose()
		}
		p.limits = append(p.limits, b)
	}
}

// bounds are the limits on this host. Those of a group by itself are looked up when they are first asked for, which most verbs of an engine do
// not, and none are there before it.
func (p *Parent) bounds() []bound {
	p.binding.Lock()
	defer p.binding.Unlock()
	if p.limits == nil && p.lone != "" && unix.Faccessat(int(p.unified.dir.Fd()), p.lone, unix.F_OK, 0) == nil {
		p.bind(p.lone)
	}
	return p.limits
}

// unbind has them looked up anew.
func (p *Parent) unbind() {
	p.binding.Lock()
	defer p.binding.Unlock()
	p.limits = nil
}

// choose finds the first store all of whose files are there; without one, it names the kernel file this host lacks, because of its version,
// configuration or hierarchy.
func (b bound) choose() (*store, error) {
	if b.store == nil {
		return nil, &ControllerError{Controller: b.controller, File: b.name()}
	}
	var first error
	for s := b.store; s != nil; s = s.next {
		err := b.missing(s.files)
		if err == nil || b.later() {
			return s, nil
		}
		if first == nil {
			first = err
		}
	}
	return b.store, first
}

// name is the limit's kernel file, by which people know it.
func (b bound) name() string {
	for _, s := range []*store{b.store, b.v2, b.v1} {
		if s != nil {
			return s.name
		}
	}
	return b.key
}

// later tells that the files are not there yet because the controller is handed down with the first limit.
func (b bound) later() bool {
	c, _ := controllerOf(b.controller)
	if !c.optional || b.store != b.v2 {
		return false
	}
	has, _ := b.root.read(b.dir + "/cgroup.controllers")
	return !slices.Contains(strings.Fields(has), b.controller)
}

func (b bound) optional() bool {
	c, _ := controllerOf(b.controller)
	return c.optional
}

// missing is a *ControllerError for a file that is not there.
func (b bound) missing(files []string) error {
	for _, file := range files {
		var st unix.Stat_t
		if err := unix.Fstatat(int(b.root.dir.Fd()), b.dir+"/"+file, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &ControllerError{Controller: b.controller, File: file, Err: err}
		}
	}
	return nil
}

// lacks is a *ControllerError for what is said and this host has no file for, such as a size of huge pages.
func (b bound) lacks(r spec.Resources) error {
	if b.err != nil || b.store.needs == nil || b.later() {
		return nil
	}
	return b.missing(b.store.needs(r))
}
