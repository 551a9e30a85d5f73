package cgroup_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The controllers that only v1 has, and that few hosts mount, work where they are: here in a hierarchy of the test's own that nobody
// else sees.
func TestV1NetworkControllers(t *testing.T) {
	kerneltest.Root(t)
	tree := kerneltest.Tree(t)
	if tree.V1["net_cls"] != "" || tree.V1["net_prio"] != "" {
		t.Skip("skip: needs net_cls and net_prio unmounted: TestEveryLimit has them")
	}
	dir := t.TempDir()
	runtime.LockOSThread() // and never unlocked: the thread ends with the test, and its mounts with it
	must(t, unix.Unshare(unix.CLONE_NEWNS))
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	if err := unix.Mount("cgroup", dir, "cgroup", 0, "net_cls,net_prio"); err != nil {
		t.Skipf("skip: needs the net_cls and net_prio controllers: %v", err)
	}
	t.Cleanup(func() { dissolve(t, dir) })
	tree.V1["net_cls"], tree.V1["net_prio"] = dir, dir
	p, err := cgroup.Open(cgroup.Config{Tree: tree, Parent: kerneltest.Parent(t)})
	must(t, err)
	g := created(t, p, "web", 1)
	start(t, g, "echo ready; sleep 1000")
	for _, key := range []string{"netCls.classid", "netPrio.ifpriomap"} {
		for _, said := range []spec.Resources{samples[key][0], samples[key][1]} {
			must(t, g.Set(said))
			if got, err := g.Get(said); err != nil || !got.Equal(p.Wanted(said)) || got.IsZero() {
				t.Errorf("%s: read %+v, %v; wanted %+v", key, got, err, p.Wanted(said))
			}
		}
	}
	must(t, g.Set(spec.Resources{}))
	for file, want := range map[string]string{"net_cls.classid": "0", "net_prio.ifpriomap": "lo 0"} {
		text, err := os.ReadFile(filepath.Join(dir, p.Name(), "web/1", file))
		if !strings.HasPrefix(string(text), want) || err != nil {
			t.Errorf("after its limit left the manifest %s is %q, %v", file, text, err)
		}
	}
	procs, err := os.ReadFile(filepath.Join(dir, p.Name(), "web/1/cgroup.procs"))
	if strings.Count(string(procs), "\n") != 1 || err != nil {
		t.Errorf("its processes there are %q, %v", procs, err)
	}
	must(t, g.Kill())
	must(t, g.Wait(t.Context(), func(s cgroup.State) bool { return !s.Populated }))
	must(t, g.Remove(t.Context()))
	must(t, errors.Join(p.Remove(), p.Close()))
}

// dissolve unmounts the hierarchy until the kernel has forgotten it: with cgroups that were removed a moment ago it outlives its mount.
func dissolve(t *testing.T, dir string) {
	for end := time.Now().Add(10 * time.Second); ; {
		must(t, unix.Unmount(dir, 0))
		time.Sleep(100 * time.Millisecond) // it is forgotten a moment later
		text, err := os.ReadFile("/proc/thread-self/cgroup")
		must(t, err)
		if !strings.Contains(string(text), "net_cls") {
			return
		}
		if time.Now().After(end) {
			t.Error("the hierarchy of net_cls and net_prio stays")
			return
		}
		must(t, unix.Mount("cgroup", dir, "cgroup", 0, "net_cls,net_prio"))
	}
}
