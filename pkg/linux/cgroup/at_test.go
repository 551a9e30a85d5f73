package cgroup_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func at(t *testing.T, path string) *cgroup.Group {
	t.Helper()
	g, err := cgroup.At(kerneltest.Tree(t), path)
	must(t, err)
	t.Cleanup(func() { must(t, g.Close()) })
	return g
}

// A group at any path lives as others do, in every hierarchy; what is above it stays.
func TestLifeOfAGroupByItself(t *testing.T) {
	kerneltest.Require(t, feature.Pids)
	parent := kerneltest.Parent(t)
	g := at(t, "/"+parent+"/a/b/c1")
	points := []string{kerneltest.Tree(t).Unified}
	for _, point := range kerneltest.Tree(t).V1 {
		points = append(points, point)
	}
	if g.Exists() {
		t.Error("it is there before it is made")
	}
	for range 2 {
		must(t, g.Create())
	}
	for _, point := range points {
		if _, err := os.Stat(filepath.Join(point, parent, "a/b/c1")); err != nil {
			t.Error(err)
		}
	}
	said := spec.Resources{
		Pids: spec.Pids{Max: spec.NewLimit(50)}, Memory: spec.Memory{Max: spec.NewLimit(64 * mebi)},
		CPU: spec.CPU{Max: spec.NewCores(333_333), Period: spec.Duration(30_000_000)}, Cpuset: spec.Cpuset{Cpus: "0"},
	}
	must(t, g.Set(said))
	start(t, g, "echo ready; sleep 1000")
	again := at(t, parent+"/a/b/c1") // by another process
	if got, err := again.Get(said); err != nil || got.Pids != said.Pids || got.Memory != said.Memory || got.CPU != said.CPU || got.Cpuset != said.Cpuset {
		t.Errorf("read %+v, %v", got, err)
	}
	said.Pids.Max = spec.NewLimit(60)
	must(t, again.Set(said))
	var occupied *cgroup.OccupiedError
	if err := again.Create(); !errors.As(err, &occupied) || occupied.Processes != 1 || !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of one in use: %v", err)
	}
	must(t, again.Freeze(t.Context()))
	must(t, again.Kill())
	must(t, again.Wait(t.Context(), func(s cgroup.State) bool { return !s.Populated }))
	if err := again.Create(); !errors.As(err, &occupied) || !occupied.Frozen {
		t.Errorf("Create of a frozen one: %v", err)
	}
	for range 2 {
		must(t, again.Remove(t.Context()))
	}
	for _, point := range points {
		_, above := os.Stat(filepath.Join(point, parent, "a/b"))
		if _, err := os.Stat(filepath.Join(point, parent, "a/b/c1")); above != nil || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after Remove: %v, above it %v", err, above)
		}
	}
	if err := again.Set(said); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Set of a removed one: %v", err)
	}
}

func TestAtRefusesOtherPaths(t *testing.T) {
	for _, name := range []string{"", "/", ".", "..", "a/../b", "a//b", "a/", "../escape", "a\nb", "a\x00b"} {
		if g, err := cgroup.At(kerneltest.Tree(t), name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("At(%q): %v, %v", name, g, err)
		}
	}
}

// In a cgroup of threads no process can be started.
func TestAtBelowThreads(t *testing.T) {
	parent := kerneltest.Parent(t)
	above := filepath.Join(kerneltest.Tree(t).Unified, parent, "threads")
	must(t, os.MkdirAll(above, 0o755))
	must(t, os.WriteFile(filepath.Join(above, "cgroup.type"), []byte("threaded"), 0))
	err := at(t, parent+"/threads/c1").Create()
	if err == nil || !strings.Contains(err.Error(), "domain invalid") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(above, "c1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}
