package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Hierarchy is one hierarchy of control groups version 1, as a container sees it: its own cgroup as the root.
type Hierarchy struct {
	Name   string    // the directory: cpu,cpuacct
	Links  []string  // further names of it: cpu and cpuacct
	Config []Setting // what the kernel knows it by
	// Source is the container's cgroup in the node's own mount of it, for a container in the node's cgroup namespace; File is
	// then its name in Files.
	Source, File string
}

// hierarchies reads which hierarchies the node has mounted, and where; those of version 1 without the cgroup are left out:
// a container that is not in one has nothing to see there.
func hierarchies(cgroup string) (v1 []Hierarchy, unified string, err error) {
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, "", fmt.Errorf("cannot find the cgroup hierarchies: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		h, fstype, ok := parseHierarchy(line)
		seen := slices.ContainsFunc(v1, func(o Hierarchy) bool { return slices.Equal(o.Config, h.Config) })
		switch {
		case !ok || seen:
		case fstype == "cgroup2" && unified == "":
			unified = h.Source
		case fstype == "cgroup":
			h.Source = filepath.Join(h.Source, cgroup)
			switch _, err := os.Stat(h.Source); {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				return nil, "", fmt.Errorf("cannot find the container's cgroup: %w", err)
			default:
				v1 = append(v1, h)
			}
		}
	}
	return v1, unified, nil
}

// neither are the settings of a version 1 hierarchy that are not what it is known by.
var neither = []string{"rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods", "nofavordynmods", "seclabel"}

// parseHierarchy reads a line of proc_pid_mountinfo(5) that shows the root of a hierarchy.
func parseHierarchy(line string) (h Hierarchy, fstype string, ok bool) {
	m, ok := proc.ParseMount(line)
	if !ok || m.Root != "/" || m.Type != "cgroup" && m.Type != "cgroup2" {
		return h, "", false
	}
	h.Source = m.Point
	h.Name = path.Base(h.Source)
	for _, option := range m.Options {
		key, value, named := strings.Cut(option, "=")
		switch {
		case slices.Contains(neither, option) || key == "release_agent":
		case named:
			h.Config = append(h.Config, Setting{key, value})
		default:
			h.Config = append(h.Config, Setting{option, ""})
			if option != h.Name {
				h.Links = append(h.Links, option)
			}
		}
	}
	return h, m.Type, m.Type == "cgroup2" || len(h.Config) > 0
}

// hierarchies makes a mount of type cgroup a small file system of directories with one hierarchy of version 1 on each. The
// node's own view has them bound; in a cgroup namespace of its own the container mounts them.
func (a arranger) hierarchies(m *Mount) {
	m.Type, m.Name = "cgroup", "tmpfs"
	m.Config = []Setting{{"mode", "0755"}, {"size", fmt.Sprint(pointSize)}}
	for i, h := range a.facts.Hierarchies {
		if a.c.Namespaces.Cgroup == spec.NamespaceHost {
			h.File = fmt.Sprint("hierarchy", i)
		}
		m.Hierarchies = append(m.Hierarchies, h)
	}
	if a.facts.Cgroup == "" {
		m.Attr.Set, m.Attr.Clear = m.Attr.Set|readonly, m.Attr.Clear&^readonly
	}
}

// nodeCgroups binds the node's own mount of cgroup2 for a container in the node's cgroup namespace: one made anew would
// change the options of the node's (cgroup_get_tree in kernel/cgroup/cgroup.c).
func (a arranger) nodeCgroups(m *Mount, s spec.Mount, i int) error {
	if a.facts.Unified == "" {
		return refuse(s, "the node has no cgroup2 mounted")
	}
	if len(m.Config) > 0 || m.Legacy != 0 {
		return refuse(s, "the options of the node's own cgroup2 cannot be changed")
	}
	m.Type, m.File = "bind", fmt.Sprint("cgroup", max(i, 0))
	m.Bind = Bind{Source: a.facts.Unified, Directory: true}
	if m.Propagation == (Propagation{}) {
		m.Propagation = kinds[spec.MountBind].Propagation
	}
	return nil
}
