package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// enable hands the v2 controllers that a level has down to its children, one at a time, so that one that
// is refused does not take the others with it. It notes what is lacking.
func (p *Parent) enable(t Tree, level root) {
	for _, c := range controllers {
		if t.V1[c] != "" || p.lacking[c] != nil {
			continue
		}
		if err := enable(level, c); err != nil {
			p.lacking[c] = &ControllerError{Controller: c, Err: err}
		}
	}
}

func enable(level root, controller string) error {
	enabled, err := level.read("cgroup.subtree_control")
	if err != nil || slices.Contains(strings.Fields(enabled), controller) {
		return err
	}
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
		v1 := slices.ContainsFunc(p.v1, func(h hierarchy) bool { return slices.Contains(h.controllers, c) })
		if !v1 && p.lacking[c] == nil {
			on = append(on, "+"+c)
		}
	}
	return strings.Join(on, " ")
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
