package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Place is a group's directory in one hierarchy.
type Place struct {
	// Hierarchy is the first of its controllers, "" for the unified one.
	Hierarchy string
	// Path is the directory, for people; Pids who is in it and below.
	Path string
	Pids map[int]bool

	root root
}

// Places are the hierarchies that the group is in, the unified one first.
func (g *Group) Places() (places []Place, err error) {
	unified, err := g.placeIn("", g.parent.unified)
	if err != nil {
		return nil, err
	}
	places = []Place{unified}
	for _, h := range g.parent.v1 {
		p, err := g.placeIn(h.controllers[0], h.root)
		if errors.Is(err, fs.ErrNotExist) { // no limit needs it
			continue
		}
		if err != nil {
			return nil, err
		}
		places = append(places, p)
	}
	return places, nil
}

func (g *Group) placeIn(hierarchy string, r root) (Place, error) {
	p := Place{Hierarchy: hierarchy, Path: r.path(g.path), Pids: map[int]bool{}, root: r}
	err := r.walk(g.path, func(name string) error {
		text, err := r.read(path.Join(name, "cgroup.procs"))
		if errors.Is(err, unix.EOPNOTSUPP) { // threaded: listed above it
			return nil
		}
		for word := range strings.FieldsSeq(text) {
			if pid, err := strconv.Atoi(word); err == nil {
				p.Pids[pid] = true
			}
		}
		return err
	})
	return p, err
}

// Found is where a process is in the place's hierarchy, as /proc/PID/cgroup says it; "" for one that has ended.
func (p Place) Found(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && (p.Hierarchy == "" && parts[0] == "0" || p.Hierarchy != "" && slices.Contains(strings.Split(parts[1], ","), p.Hierarchy)) {
			return parts[2]
		}
	}
	return ""
}

// Takes tells whether a process can be put into the group itself: not where it hands controllers down to cgroups that its container made below (cgroup-v2.rst, No
// Internal Process Constraint), of which nobody can tell in which one the process was.
func (p Place) Takes(g *Group) bool {
	text, err := p.root.read(g.path + "/cgroup.subtree_control")
	return p.Hierarchy != "" || err == nil && strings.TrimSpace(text) == ""
}

// Return puts a process of the group back into a place. One that has ended is success.
func (g *Group) Return(p Place, pid int) error {
	err := p.root.write(g.path+"/cgroup.procs", strconv.Itoa(pid))
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// reassert hands the controllers of limits down again that somebody has taken away: systemd, say, when it reads its units anew and finds none of them that needs
// one (cgroup.subtree_control of what is above). The group's files of it have their defaults then.
func (g *Group) reassert(r spec.Resources) error {
	var has []string
	for _, b := range g.parent.bounds() {
		if b.err != nil || b.optional() || !b.said(&r) {
			continue
		}
		c, _ := controllerOf(b.controller)
		if !c.v2 || g.parent.tree.V1[c.v1] != "" {
			continue
		}
		if has == nil {
			text, err := g.parent.unified.read(g.path + "/cgroup.controllers")
			if err != nil {
				return err
			}
			has = append(strings.Fields(text), "")
		}
		if slices.Contains(has, c.name) {
			continue
		}
		if err := g.handDown(c.name); err != nil {
			return err
		}
		has = append(has, c.name)
	}
	return nil
}

// DevicesDrift compares what decides on the group's devices with the rules that SetDevices was given. Both are "" where all is well.
func (g *Group) DevicesDrift(said []spec.DeviceRule) (found, wanted string, err error) {
	rules, err := deviceRules(said)
	if err != nil {
		return "", "", err
	}
	h, isV1 := g.parent.hierarchyOf("devices")
	if isV1 && !h.optional {
		if list, err := newDeviceList(rules); err == nil {
			return g.listDrift(h, list)
		}
	}
	found, wanted, err = g.programDrift(rules)
	if isV1 && errors.Is(err, errors.ErrUnsupported) {
		list, _ := newDeviceList(rules)
		return g.listDrift(h, list)
	}
	return found, wanted, err
}

func (g *Group) listDrift(h hierarchy, l deviceList) (found, wanted string, err error) {
	text, err := h.read(g.path + "/devices.list")
	if err != nil {
		return "", "", err
	}
	if parsed := parseDeviceList(text); l.allow && parsed.allow || !l.allow && len(l.after(parsed)) == 0 {
		return "", "", nil
	}
	return strings.Join(strings.Split(strings.TrimSpace(text), "\n"), ", "), "the list of its rules", nil
}

// programDrift compares programs by their tags, which are hashes of their code.
func (g *Group) programDrift(rules []deviceRule) (found, wanted string, err error) {
	dir, err := g.Dir()
	if err != nil {
		return "", "", err
	}
	defer dir.Close()
	err = g.parent.programs.with(encode(deviceProgram(rules)), func(program *os.File) error {
		attached, err := attachedDevices(dir)
		if err != nil {
			return err
		}
		wanted = "device program " + tagOf(program)
		if attached != nil {
			found = "device program " + tagOf(attached)
			return attached.Close()
		}
		return nil
	})
	if found == wanted {
		found, wanted = "", ""
	}
	return found, wanted, err
}

// tagOf is a program's tag, from struct bpf_prog_info.
func tagOf(program *os.File) string {
	const tagAt, tagSize = 8, 8
	var info [256]byte
	low, high := pointer(&info[0])
	_, _, err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, uint32(program.Fd()), uint32(len(info)), low, high)
	runtime.KeepAlive(&info)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%x", info[tagAt:tagAt+tagSize])
}
