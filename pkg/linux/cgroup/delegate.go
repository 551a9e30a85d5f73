package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// enable hands the v2 controllers that a level has down to its children, one at a time, so that one that
// is refused does not take the others with it. It notes what is lacking. Optional ones wait for the first limit.
func (p *Parent) enable(level root) {
	for _, c := range controllers {
		if !c.v2 || p.tree.V1[c.v1] != "" || p.lacking[c.name] != nil {
			continue
		}
		if err := p.enableAt(level, c.name, c.optional); err != nil {
			p.lacking[c.name] = &ControllerError{Controller: c.name, Err: err}
		}
	}
}

// errKept is why a controller is lacking that systemd keeps to itself, as it does with hugetlb, rdma and misc whatever it delegates
// (systemd.resource-control(5), Delegate=).
var errKept = errors.New("systemd does not hand it down")

// enableAt hands a controller down from one level, or looks whether that can be left for later. systemd's cgroups are only looked at.
func (p *Parent) enableAt(level root, controller string, later bool) error {
	enabled, err := level.read("cgroup.subtree_control")
	if err != nil || slices.Contains(strings.Fields(enabled), controller) {
		return err
	}
	if p.foreign(level) {
		return fmt.Errorf("%w in %s", errKept, level.dir.Name())
	}
	if later {
		return nil
	}
	return enable(level, controller)
}

// foreign tells whether a level is above the last unit of systemd's in the path: what is below a unit was delegated.
func (p *Parent) foreign(level root) bool {
	steps := strings.Split(p.full, "/")
	for i, step := range slices.Backward(steps) {
		if suffix := path.Ext(step); suffix == ".slice" || suffix == ".scope" || suffix == ".service" {
			unit := path.Join(p.tree.Unified, path.Join(steps[:i+1]...))
			return strings.HasPrefix(unit, level.dir.Name()+"/")
		}
	}
	return false
}

func enable(level root, controller string) error {
	has, err := level.read("cgroup.controllers")
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(has), controller) {
		return fmt.Errorf("%s has not got it", level.dir.Name())
	}
	err = vacant(level)
	if err == nil {
		err = level.write("cgroup.subtree_control", "+"+controller)
	}
	if err != nil {
		return &DelegationError{Dir: level.dir.Name(), Controller: controller, Err: cause(err)}
	}
	return nil
}

// vacant is EBUSY for a cgroup with processes of its own, except the root of all. The kernel itself refuses only memory
// there; cpu, cpuset and pids would turn it into a thread root, in whose children no process can be started
// (cgroup-v2.rst, Threads).
func vacant(level root) error {
	if _, err := level.read("cgroup.type"); errors.Is(err, fs.ErrNotExist) { // only the root has no type
		return nil
	}
	procs, err := level.read("cgroup.procs")
	if err == nil && procs != "" {
		err = unix.EBUSY
	}
	return err
}

// handedDown is what NAME's cgroup.subtree_control gets: "+cpu +memory", "" when v2 has none of ours.
func (p *Parent) handedDown() string {
	var on []string
	for _, c := range controllers {
		if c.v2 && !c.optional && p.tree.V1[c.v1] == "" && p.lacking[c.name] == nil {
			on = append(on, "+"+c.name)
		}
	}
	return strings.Join(on, " ")
}

// handDown hands an optional v2 controller down to a group, through every level above it.
func (g *Group) handDown(controller string) error {
	p := g.parent
	bottom, _, err := descend(p.tree.Unified, path.Dir(path.Join(p.name, g.path)), func(level root) error {
		return p.enableAt(level, controller, false)
	})
	if err != nil {
		return &ControllerError{Controller: controller, Err: err}
	}
	return bottom.dir.Close()
}

// inheritCpuset gives an empty v1 cpuset what the one above has: no task can enter an empty one (cpuset(7)).
func inheritCpuset(level root) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		text, err := level.read(file)
		if err != nil {
			return err
		}
		if strings.TrimSpace(text) != "" {
			continue
		}
		above, err := os.ReadFile(filepath.Join(filepath.Dir(level.dir.Name()), file))
		if err != nil {
			return err
		}
		if err := level.write(file, string(above)); err != nil {
			return err
		}
	}
	return nil
}
