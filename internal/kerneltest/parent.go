package kerneltest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

var parents atomic.Int64

// Parent is the name of a cgroup parent that nobody else uses. When the test ends, everything below it is
// killed and removed from every hierarchy, whatever made it.
func Parent(t testing.TB) string {
	t.Helper()
	Root(t)
	Require(t, feature.CgroupV2)
	tree := Tree(t)
	name := fmt.Sprintf("reconciler-test-%d-%d", os.Getpid(), parents.Add(1))
	before := handedDown(tree)
	t.Cleanup(func() {
		if err := destroy(tree, name); err != nil {
			t.Errorf("cannot clean up cgroup parent %s: %v", name, err)
		}
		for _, controller := range handedDown(tree) {
			if !slices.Contains(before, controller) { // busy: another test needs it, or a later one of this process
				_ = os.WriteFile(filepath.Join(tree.Unified, "cgroup.subtree_control"), []byte("-"+controller), 0)
			}
		}
	})
	return name
}

// handedDown are the controllers that few use and that the root of cgroup2 hands down; a host may want them for v1 hierarchies.
func handedDown(tree cgroup.Tree) []string {
	text, _ := os.ReadFile(filepath.Join(tree.Unified, "cgroup.subtree_control"))
	return slices.DeleteFunc(strings.Fields(string(text)), func(c string) bool { return !slices.Contains([]string{"hugetlb", "rdma", "misc"}, c) })
}

// Tree is where this machine keeps its cgroups.
func Tree(t testing.TB) cgroup.Tree {
	t.Helper()
	tree, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// Cgroups is an open cgroup parent of the test's own, gone when it ends.
func Cgroups(t testing.TB) *cgroup.Parent {
	t.Helper()
	p, err := cgroup.Open(cgroup.Config{Tree: Tree(t), Parent: Parent(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// mountPoints are the roots of all hierarchies in use, the unified one last.
func mountPoints(tree cgroup.Tree) []string {
	var points []string
	for _, point := range tree.V1 {
		points = append(points, point)
	}
	slices.Sort(points)
	return append(slices.Compact(points), tree.Unified)
}

// destroy kills and removes a parent from every hierarchy.
func destroy(tree cgroup.Tree, parent string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	kill := filepath.Join(tree.Unified, parent, "cgroup.kill")
	if err := os.WriteFile(kill, []byte("1"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, point := range mountPoints(tree) {
		for {
			err := removeTree(filepath.Join(point, parent))
			if err == nil {
				break
			}
			if ctx.Err() != nil || !errors.Is(err, unix.EBUSY) {
				return err
			}
			time.Sleep(time.Millisecond) // the killed are still dying
		}
	}
	return nil
}

// removeTree removes a cgroup and everything below it, deepest first.
func removeTree(dir string) error {
	dirs := below(dir)
	slices.Reverse(dirs)
	for _, d := range dirs {
		if err := unix.Rmdir(d); err != nil && !errors.Is(err, unix.ENOENT) {
			return &fs.PathError{Op: "rmdir", Path: d, Err: err}
		}
	}
	return nil
}

// below lists a directory and all directories in it, each before its children; none when it is not there.
func below(dir string) []string {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil // what vanishes meanwhile is not there
	})
	return dirs
}
