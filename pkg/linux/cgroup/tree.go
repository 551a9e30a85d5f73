package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
)

// ErrNoUnified is the lack of a cgroup2 mount, without which nothing can be frozen or killed as a whole.
var ErrNoUnified = errors.New("no cgroup2 file system is mounted\nhint: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified")

// Tree says where a host keeps its cgroups.
type Tree struct {
	// Unified is the mount point of cgroup2.
	Unified string
	// V1 are the mount points of v1 hierarchies by the v1 name of their controller (blkio, not io); controllers mounted
	// together share one. Controllers that this package does not know are left out. Empty on a pure v2 host.
	V1 map[string]string
}

// Detect reads the tree of the calling process's mount namespace. Without cgroup2 it returns ErrNoUnified.
func Detect() (Tree, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return Tree{}, fmt.Errorf("cannot find cgroups: %w", err)
	}
	defer f.Close()
	return ParseTree(f)
}

// ParseTree reads a tree from the text of /proc/PID/mountinfo, see proc_pid_mountinfo(5). A mount that
// hides an earlier one of the same mount point wins; else the first of each controller.
func ParseTree(mountinfo io.Reader) (Tree, error) {
	var mounts []proc.Mount
	lines := bufio.NewScanner(mountinfo)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if m, ok := proc.ParseMount(lines.Text()); ok {
			mounts = slices.DeleteFunc(mounts, func(old proc.Mount) bool { return old.Point == m.Point })
			mounts = append(mounts, m)
		}
	}
	if err := lines.Err(); err != nil {
		return Tree{}, fmt.Errorf("cannot read mountinfo: %w", err)
	}
	t := treeOf(mounts)
	if t.Unified == "" {
		return Tree{}, ErrNoUnified
	}
	return t, nil
}

func treeOf(mounts []proc.Mount) Tree {
	t := Tree{V1: map[string]string{}}
	for _, m := range mounts {
		switch m.Type {
		case "cgroup2":
			if t.Unified == "" {
				t.Unified = m.Point
			}
		case "cgroup":
			for _, c := range controllers {
				if t.V1[c.v1] == "" && c.v1 != "" && slices.Contains(m.Options, c.v1) {
					t.V1[c.v1] = m.Point
				}
			}
		}
	}
	return t
}

// Available says of each controller why it cannot be used here, or nil: mounted as v1, or listed in the unified root's
// cgroup.controllers.
func (t Tree) Available() map[string]error {
	text, err := os.ReadFile(filepath.Join(t.Unified, "cgroup.controllers"))
	listed := strings.Fields(string(text))
	all := map[string]error{}
	for _, c := range controllers {
		switch {
		case t.V1[c.v1] != "" || c.v2 && slices.Contains(listed, c.name):
			all[c.name] = nil
		case !c.v2:
			all[c.name] = &ControllerError{Controller: c.name, Err: errors.New("not mounted as v1, and v2 has none")}
		case err != nil:
			all[c.name] = &ControllerError{Controller: c.name, Err: err}
		default:
			all[c.name] = &ControllerError{Controller: c.name, Err: fmt.Errorf("neither mounted as v1 nor listed in %s/cgroup.controllers", t.Unified)}
		}
	}
	return all
}
