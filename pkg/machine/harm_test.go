package machine_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// crius are the processes of criu that the node has started, the oldest first.
func (n *node) crius() (pids []int) {
	groups, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(n.groupOf("x"))), "*", "*", "cgroup.procs"))
	for _, group := range groups {
		text, _ := os.ReadFile(group)
		for _, word := range strings.Fields(string(text)) {
			line, _ := os.ReadFile("/proc/" + word + "/cmdline")
			if pid, err := strconv.Atoi(word); err == nil && strings.Contains(string(line), "\x00swrk\x00") {
				pids = append(pids, pid)
			}
		}
	}
	slices.Sort(pids)
	return pids
}

// firstCriu waits for a criu of the node; 0 when there is none before the end.
func (n *node) firstCriu(end <-chan struct{}) int {
	for {
		if pids := n.crius(); len(pids) > 0 {
			return pids[0]
		}
		select {
		case <-end:
			return 0
		default:
		}
	}
}

// groupOf is the directory of instance 1 in the unified hierarchy.
func (n *node) groupOf(name string) string {
	return filepath.Join(kerneltest.Tree(n.t).Unified, n.config.CgroupParent, name, "1")
}

func (n *node) isFrozen(name string) bool {
	text, _ := os.ReadFile(filepath.Join(n.groupOf(name), "cgroup.events"))
	return strings.Contains(string(text), "frozen 1")
}

// stopped are the processes of a container that somebody has stopped.
func (n *node) stopped(name string) (all []string) {
	text, _ := os.ReadFile(filepath.Join(n.groupOf(name), "cgroup.procs"))
	for _, pid := range strings.Fields(string(text)) {
		status, _ := os.ReadFile("/proc/" + pid + "/status")
		for line := range strings.Lines(string(status)) {
			if state, ok := strings.CutPrefix(line, "State:"); ok && strings.ContainsAny(strings.TrimSpace(state)[:1], "tT") {
				all = append(all, pid+" "+strings.TrimSpace(state))
			}
		}
	}
	return all
}

// keeperPid is the node's keeper; 0 if there is none.
func (n *node) keeperPid() int {
	text, _ := os.ReadFile(n.path("run", "state", "keeper.lock"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// state is what a failure must leave as it was: the instances, and what agent and keeper have open.
type state struct {
	names       []string
	instances   map[string]spec.Instance
	images      []string
	descriptors kerneltest.Inventory
	keeper      int
}

// now is the state of containers.
func (n *node) now(names ...string) state {
	n.t.Helper()
	s := state{names: names, instances: map[string]spec.Instance{}, keeper: n.keeperPid()}
	for _, name := range names {
		s.instances[name] = n.look(name)
	}
	list, err := n.Images(n.t.Context(), "")
	must(n.t, err)
	for _, img := range list {
		s.images = append(s.images, img.Ref())
	}
	s.descriptors = kerneltest.Settled(n.t, kerneltest.Scope{Pids: []int{0, s.keeper}})
	return s
}

// half is what must not be left of images that were being taken or restored.
func (n *node) half(names ...string) (left []string) {
	for _, pattern := range []string{"*/*.partial", ".sets/*"} {
		found, _ := filepath.Glob(n.path("state", "checkpoints", pattern))
		left = append(left, found...)
	}
	aside, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(n.groupOf("x"))), "*", "aside-*"))
	left = append(left, aside...)
	for _, pid := range n.crius() {
		left = append(left, fmt.Sprintf("criu is process %d", pid))
	}
	for _, name := range names {
		in := n.look(name)
		if in.Phase != spec.InstanceRunning {
			continue
		}
		if n.isFrozen(name) {
			left = append(left, name+" is frozen")
		}
		left = append(left, n.stopped(name)...)
		if nft, err := exec.LookPath("nft"); err == nil {
			tables, _ := exec.Command("nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", in.Pid), nft, "list", "tables").CombinedOutput()
			if len(tables) > 0 {
				left = append(left, name+" has "+string(tables))
			}
		}
	}
	return left
}

// unharmed holds that containers go on as they were before something failed, and that nothing of it is left. Those that count go on counting.
func (n *node) unharmed(what string, before state) {
	n.t.Helper()
	for name, was := range before.instances {
		if in := n.look(name); in.Pid != was.Pid || in.Phase != was.Phase || in.Starts != was.Starts {
			n.t.Errorf("%s: %s is %s with pid %d after start %d (%+v), was %s with pid %d after start %d", what, name, in.Phase, in.Pid, in.Starts, in.Exit, was.Phase, was.Pid, was.Starts)
			continue
		}
		if was.Phase == spec.InstanceRunning {
			n.goesOn(what, name)
		}
		if was.Phase == spec.InstancePaused && !n.isFrozen(name) {
			n.t.Errorf("%s: %s is not frozen any more", what, name)
		}
	}
	n.nothingHalf(what, before)
}

// goesOn waits until a container counts.
func (n *node) goesOn(what, name string) {
	n.t.Helper()
	at := n.count(name)
	for deadline := time.Now().Add(patience); n.count(name) <= at; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("%s: %s stands still at %d:\n%s", what, name, at, strings.Join(n.tasks(name), "\n"))
		}
	}
}

// tasks are the processes of a container, with what tells why they do not go on.
func (n *node) tasks(name string) (all []string) {
	text, _ := os.ReadFile(filepath.Join(n.groupOf(name), "cgroup.procs"))
	for _, pid := range strings.Fields(string(text)) {
		line := pid
		status, _ := os.ReadFile("/proc/" + pid + "/status")
		for _, key := range []string{"Name", "State", "NSpid", "TracerPid", "SigBlk", "SigPnd"} {
			if _, after, ok := strings.Cut(string(status), key+":"); ok {
				value, _, _ := strings.Cut(after, "\n")
				line += fmt.Sprintf(", %s %s", key, strings.TrimSpace(value))
			}
		}
		for _, file := range []string{"wchan", "syscall", "stack"} {
			text, _ := os.ReadFile("/proc/" + pid + "/" + file)
			line += fmt.Sprintf(", %s %q", file, text)
		}
		all = append(all, line)
	}
	return all
}

// nothingHalf holds that nothing is left of what failed.
func (n *node) nothingHalf(what string, before state) {
	n.t.Helper()
	var left []string
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		left = n.half(before.names...)
		if before.keeper != 0 && n.keeperPid() == before.keeper {
			after := kerneltest.Take(n.t, kerneltest.Scope{Pids: []int{0, before.keeper}})
			for _, line := range kerneltest.Diff(before.descriptors, after) {
				if strings.HasPrefix(line, "+ ") { // what is gone was a connection that ended since
					left = append(left, line)
				}
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			n.t.Errorf("%s: left:\n%s", what, strings.Join(left, "\n"))
			return
		}
	}
}

// smallDisk puts a file system of a size into a directory below the node's that does not exist yet, and takes it away after all that is in it.
func (n *node) smallDisk(size string, elem ...string) {
	n.t.Helper()
	dir := n.path(elem...)
	must(n.t, os.MkdirAll(dir, 0o700))
	must(n.t, unix.Mount("none", dir, "tmpfs", 0, "size="+size+",mode=0700"))
	n.t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}
