package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// names are DNS labels: what a cgroup of ours can be called. Anything else below the parent is not ours.
var names = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`) })

// Group is the cgroup of one instance of a container, PARENT/NAME/INSTANCE in every hierarchy, whether it
// exists or not. It holds no descriptors. Verbs on a group that is not there return fs.ErrNotExist
// unless they say otherwise. Methods of different names may run in parallel.
type Group struct {
	Name     string
	Instance uint64

	parent *Parent
	path   string // NAME/INSTANCE, or any other for a group by itself
	lone   bool   // a group by itself, see At
	fresh  fresh  // what a group that was just made has not got yet
}

// fresh tells that a group was just made: every file has its default, and no program is attached.
type fresh struct{ limits, devices bool }

// Group names the cgroup of an instance; it makes nothing. name must be a DNS label.
func (p *Parent) Group(name string, instance uint64) (*Group, error) {
	if !names().MatchString(name) {
		return nil, fmt.Errorf("cannot name a cgroup %q: want at most 63 characters of [a-z0-9-]: %w", name, fs.ErrInvalid)
	}
	return &Group{Name: name, Instance: instance, parent: p, path: name + "/" + strconv.FormatUint(instance, 10)}, nil
}

// String is NAME/INSTANCE, or the path that At was given.
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
