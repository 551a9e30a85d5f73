package process_test

import (
	"errors"
	"maps"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// group makes a cgroup for the time of the test, and opens what a program needs to enter it.
func group(t *testing.T) (*cgroup.Group, map[string]*os.File) {
	t.Helper()
	g, err := kerneltest.Cgroups(t).Group("box", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	files, err := g.Files()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, file := range files {
			_ = file.Close()
		}
	})
	return g, files
}

func TestStartInCgroup(t *testing.T) {
	noLeaks(t)
	kerneltest.Require(t, feature.CloneIntoCgroup)
	g, files := group(t)
	_, below, _ := strings.Cut(g.Path(), kerneltest.Tree(t).Unified)
	for flags, want := range map[uint64]string{0: below, unix.CLONE_NEWCGROUP: "/"} {
		text := outputWith(t, maps.Clone(files), func(p *process.Program) {
			p.Clone = flags
			cgroup.Enter(p, files)
			exec(p, "/bin/cat", "/proc/self/cgroup")
		})
		if !strings.HasSuffix("\n"+text, "\n0::"+path.Clean(want)) {
			t.Errorf("with flags %#x: %q, want %q", flags, text, want)
		}
	}
}

func TestStartInRemovedCgroup(t *testing.T) {
	noLeaks(t)
	kerneltest.Require(t, feature.CloneIntoCgroup)
	g, files := group(t)
	if err := g.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := &process.Program{}
	cgroup.Enter(p, files)
	exec(p, "/bin/true")
	_, err := process.Start(p, files)
	if err == nil || !strings.HasSuffix(err.Error(), "\nhint: the cgroup has been removed") {
		t.Fatalf("err = %v", err)
	}
}

// A child that starts in a frozen cgroup is frozen before its first op, and the start with it.
func TestStartInFrozenCgroup(t *testing.T) {
	noLeaks(t)
	kerneltest.Require(t, feature.CloneIntoCgroup)
	g, files := group(t)
	if err := g.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := &process.Program{}
	cgroup.Enter(p, files)
	exec(p, "/bin/true")
	_, err := process.StartWithin(p, files, 50*time.Millisecond)
	if !errors.Is(err, unix.ETIMEDOUT) {
		t.Fatalf("err = %v", err)
	}
}

// A child in a cgroup with next to no memory shares this process's memory, yet only its own start may fail.
func TestTinyMemoryLimitSparesTheStarter(t *testing.T) {
	noLeaks(t)
	g, files := group(t)
	if err := g.Set(spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(128 << 10)}}); err != nil {
		t.Fatal(err)
	}
	starved := 0
	for range 20 {
		p := &process.Program{Clone: unix.CLONE_NEWNS}
		cgroup.Enter(p, files)
		for range 200 {
			p.Call("mount", "/tmp", unix.SYS_MOUNT, process.Str("none"), process.Str("/tmp"), process.Str("tmpfs"), process.Int(0), process.Int(0))
		}
		exec(p, "/bin/true")
		child, err := process.Start(p, files)
		if err == nil {
			_, _ = process.Reap(child.Pidfd)
			_ = child.Pidfd.Close()
			continue
		}
		if !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.ENOSPC) { // which one depends on what could not be allocated
			t.Errorf("err = %v", err)
		}
		starved++
	}
	if starved == 0 {
		t.Error("no start came to feel the limit")
	}
}

func TestDumpableStaysAsItWas(t *testing.T) {
	noLeaks(t)
	files := null(t)
	for _, want := range []int{1, 0} {
		if want == 0 {
			if err := process.Harden(); err != nil {
				t.Fatal(err)
			}
		}
		child, err := process.Start(isolated(), files) // changes its user
		if err != nil {
			t.Fatal(err)
		}
		_, _ = process.Reap(child.Pidfd)
		_ = child.Pidfd.Close()
		if got, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); got != want || err != nil {
			t.Errorf("dumpable = %d, %v, want %d", got, err, want)
		}
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
}
