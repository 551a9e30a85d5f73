package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// counter counts in a variable, in its output and in a file, and listens, so that its network has to be locked while it is saved to end.
const counter = `nc -l -p 80 2>/dev/null & i=0; while :; do i=$((i+1)); echo line $i; echo $i >/count; sleep 0.02; done`

// counterManifest is the manifest of a counter; more is further YAML of the spec, indented by two.
func counterManifest(name string, more ...string) string {
	return fmt.Sprintf("apiVersion: reconciler/v1alpha1\nkind: Container\nmetadata: {name: %s}\nspec:\n  rootfs: {path: ROOTFS, writable: {medium: Memory, size: 16Mi, life: Instance}}\n  command: [/bin/sh, -c, %q]\n  checkpoint: {retain: 3}\n%s",
		name, counter, strings.Join(more, ""))
}

// groupOfCounters is the manifest of a group of two, a and b.
func groupOfCounters(name string) string {
	text := fmt.Sprintf("apiVersion: reconciler/v1alpha1\nkind: Group\nmetadata: {name: %s}\nspec:\n  containers:\n", name)
	for _, member := range []string{"a", "b"} {
		text += fmt.Sprintf("    %s:\n      rootfs: {path: ROOTFS, writable: {medium: Memory, size: 16Mi, life: Instance}}\n      command: [/bin/sh, -c, %q]\n      checkpoint: {retain: 3}\n", member, counter)
	}
	return text
}

// The states of a counter's manifest.
const (
	running      = "  state: Running\n"
	checkpointed = "  state: Checkpointed\n"
	paused       = "  state: Paused\n"
)

// counted is how far a counter has come, by its output as the keeper wrote it; it must be every number from 1 on, once, but for restores that were undone.
func (n *node) counted(name string) (int, error) {
	files, _ := filepath.Glob(n.path("log/" + name + "/*.log"))
	slices.Sort(files)
	var text []byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		text = append(text, data...)
	}
	lines, undone := 0, 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		lines++
		if want := fmt.Sprintf("line %d\n", lines); line != want {
			at := 0
			if _, err := fmt.Sscanf(line, "line %d\n", &at); err == nil && at < lines && undone < n.undone {
				undone, lines = undone+1, at
				continue
			}
			return lines, fmt.Errorf("%s says %q after %d lines, want %q", name, line, lines-1, want)
		}
	}
	return lines, nil
}

// counts waits until a counter has come some numbers further.
func (n *node) counts(name string, further int) {
	n.t.Helper()
	from, _ := n.counted(name)
	n.eventually(name+" counts", func() error {
		now, err := n.counted(name)
		if err == nil && now < from+further {
			err = fmt.Errorf("from %d to %d", from, now)
		}
		return err
	})
}

// processesOf are the processes of a container, whatever agent and keeper know, as the kernel lists them.
func (n *node) processesOf(name string) (pids []int) {
	_ = filepath.WalkDir(filepath.Join(n.unified(), name), func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.IsDir() || strings.HasPrefix(entry.Name(), "aside-") {
			return nil
		}
		text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, word := range strings.Fields(string(text)) {
			pid, _ := strconv.Atoi(word)
			pids = append(pids, pid)
		}
		return nil
	})
	return pids
}

// settles waits until a container, whatever became of agent and keeper, counts, or is frozen if it may be, or has no process any more.
func (n *node) settles(name, what string, mayFreeze bool) {
	n.t.Helper()
	count := func() string {
		for _, pid := range n.processesOf(name) {
			if _, isInit := taskOf(pid); isInit {
				text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/root/count", pid))
				return strings.TrimSpace(string(text))
			}
		}
		return ""
	}
	from := count()
	for deadline := time.Now().Add(standstill); ; time.Sleep(2 * time.Millisecond) {
		now := count()
		switch {
		case len(n.processesOf(name)) == 0, now != "" && now != from, mayFreeze && n.isFrozen(name):
			return
		case time.Now().After(deadline):
			n.t.Errorf("%s: %s neither counts nor has ended: %q", what, name, n.tasks(name))
			return
		}
	}
}

func (n *node) isFrozen(name string) bool {
	events, _ := filepath.Glob(filepath.Join(n.unified(), name, "[0-9]*", "cgroup.events"))
	for _, file := range events {
		if text, _ := os.ReadFile(file); strings.Contains(string(text), "frozen 1") {
			return true
		}
	}
	return false
}

func (n *node) tasks(name string) (all []string) {
	for _, pid := range n.processesOf(name) {
		state, _ := taskOf(pid)
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		all = append(all, fmt.Sprintf("%d %s %s", pid, strings.TrimSpace(string(text)), state))
	}
	return all
}

// halfKept is what may be left of images that were being taken or restored: an image that is none, a process of criu, its cgroup, and its lock on
// the container's network.
func (n *node) halfKept(names ...string) (left []string) {
	for _, pattern := range []string{"state/checkpoints/*/*.partial", "state/checkpoints/.sets/*"} {
		found, _ := filepath.Glob(n.path(pattern))
		left = append(left, found...)
	}
	aside, _ := filepath.Glob(filepath.Join(n.unified(), "*", "aside-*"))
	left = append(left, aside...)
	left = append(left, n.crius()...)
	nft, err := exec.LookPath("nft")
	for _, name := range names {
		for _, pid := range n.processesOf(name) {
			if _, isInit := taskOf(pid); isInit && err == nil {
				tables, _ := exec.Command("nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", pid), nft, "list", "tables").CombinedOutput()
				if len(tables) > 0 {
					left = append(left, fmt.Sprintf("%s: %s", name, tables))
				}
			}
		}
	}
	return left
}

// crius are the processes of criu below the node's cgroup.
func (n *node) crius() (all []string) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		line, _ := os.ReadFile(file)
		group, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cgroup"))
		if strings.Contains(string(line), "\x00swrk\x00") && strings.Contains(string(group), n.parent+"/") {
			all = append(all, fmt.Sprintf("%s: %q", file, line))
		}
	}
	return all
}

// isWhole waits until nothing is half kept.
func (n *node) isWhole(what string, names ...string) {
	n.t.Helper()
	n.eventually("nothing is left half: "+what, func() error {
		if left := n.halfKept(names...); len(left) > 0 {
			return errors.New(strings.Join(left, "\n"))
		}
		return nil
	})
}
