package kerneltest

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
)

// Scope is what an inventory looks at.
type Scope struct {
	// Parent is a cgroup parent: its cgroups in every hierarchy, and the tasks in them.
	Parent string
	// Dirs are directories: the files and the mounts below them.
	Dirs []string
	// Pids are processes: their open descriptors. The test's own process is 0.
	Pids []int
	// Host adds every mount and network link of the test's namespaces, and every network namespace a process is
	// in: only for a test that has the machine to itself.
	Host bool
}

// Inventory is what there was of a scope at one time: sorted lines of a kind and a name.
type Inventory []string

// Take makes an inventory. What vanishes meanwhile is not in it.
func Take(t testing.TB, scope Scope) Inventory {
	t.Helper()
	all := slices.Concat(
		cgroupsOf(Tree(t), scope.Parent),
		mountsOf(scope),
		descriptorsOf(scope.Pids),
		filesOf(scope.Dirs),
	)
	if scope.Host {
		all = append(all, networksOf()...)
	}
	slices.Sort(all)
	return all
}

// Diff tells what left an inventory ("- ...") and what came ("+ ...").
func Diff(before, after Inventory) []string {
	counts := map[string]int{}
	for _, line := range before {
		counts[line]--
	}
	for _, line := range after {
		counts[line]++
	}
	var diff []string
	for _, line := range sortedKeys(counts) {
		for range -counts[line] {
			diff = append(diff, "- "+line)
		}
		for range counts[line] {
			diff = append(diff, "+ "+line)
		}
	}
	return diff
}

// settle is how long things may take to be gone at the end of a test: tasks die and close files after their kill.
const settle = 5 * time.Second

// Settled is an inventory of what is not just being made or thrown away: two looks in a row agree on it.
func Settled(t testing.TB, scope Scope) Inventory {
	t.Helper()
	last := Take(t, scope)
	for end := time.Now().Add(settle); time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
		now := Take(t, scope)
		if Diff(last, now) == nil {
			break
		}
		last = now
	}
	return last
}

// NoLeaks fails the test when its end finds another inventory than its call did. Call it first, so that
// every other cleanup runs before.
func NoLeaks(t testing.TB, scope Scope) {
	t.Helper()
	before := Settled(t, scope)
	t.Cleanup(func() {
		for end := time.Now().Add(settle); ; time.Sleep(10 * time.Millisecond) {
			diff := Diff(before, Take(t, scope))
			if diff == nil {
				return
			}
			if time.Now().After(end) {
				t.Errorf("the test leaves something behind, or took it away:\n%s", strings.Join(diff, "\n"))
				return
			}
		}
	})
}

func cgroupsOf(tree cgroup.Tree, parent string) (lines []string) {
	if parent == "" {
		return nil
	}
	for _, point := range mountPoints(tree) {
		for _, dir := range below(filepath.Join(point, parent)) {
			lines = append(lines, "cgroup "+dir)
			text, _ := os.ReadFile(filepath.Join(dir, "cgroup.threads"))
			if tree.Unified != point {
				text, _ = os.ReadFile(filepath.Join(dir, "tasks"))
			}
			for _, tid := range strings.Fields(string(text)) {
				lines = append(lines, fmt.Sprintf("task %s in %s", tid, dir))
			}
		}
	}
	return lines
}

func mountsOf(scope Scope) (lines []string) {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 10 {
			continue
		}
		point := f[4]
		below := func(dir string) bool { return point == dir || strings.HasPrefix(point, dir+"/") }
		if scope.Host || slices.ContainsFunc(scope.Dirs, below) {
			_, after, _ := strings.Cut(line, " - ")
			lines = append(lines, fmt.Sprintf("mount %s of %s on %s", f[3], strings.Fields(after)[0], point))
		}
	}
	return lines
}

func descriptorsOf(pids []int) (lines []string) {
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d/fd", pid)
		if pid == 0 {
			dir = "/proc/self/fd"
		}
		for _, target := range descriptors(dir) {
			lines = append(lines, fmt.Sprintf("descriptor of %d: %s", pid, target))
		}
	}
	return lines
}

// descriptors are what /proc/PID/fd points to, without the numbers that make pipes, sockets and namespaces differ.
func descriptors(dir string) (targets []string) {
	startPoller()
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil || strings.HasPrefix(target, "/proc/") && strings.HasSuffix(target, "/fd") { // the one reading
			continue
		}
		if kind, number, ok := strings.Cut(target, ":["); ok && strings.Trim(number, "0123456789]") == "" {
			target = kind
		}
		targets = append(targets, target)
	}
	return targets
}

// startPoller makes the runtime open its poller now, and not later as if the test did.
func startPoller() {
	if r, w, err := os.Pipe(); err == nil {
		_, _ = r.Close(), w.Close()
	}
}

func filesOf(dirs []string) (lines []string) {
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				lines = append(lines, "file "+path)
			}
			return nil
		})
	}
	return lines
}

func networksOf() (lines []string) {
	links, _ := os.ReadDir("/sys/class/net")
	for _, link := range links {
		lines = append(lines, "link "+link.Name())
	}
	spaces := map[string]bool{}
	processes, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, p := range processes {
		if space, err := os.Readlink(p); err == nil {
			spaces["namespace "+space] = true
		}
	}
	return append(lines, sortedKeys(spaces)...)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
