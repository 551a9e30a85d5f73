package cgroup_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// hog is a child that takes more memory than its group may have: the one whom the kernel kills for it.
const hog = `sh -c 'echo 1000 >/proc/self/oom_score_adj; exec dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null'`

// limited is a group that may have 16 MiB.
func limited(t *testing.T, p *cgroup.Parent, name string) *cgroup.Group {
	t.Helper()
	g := created(t, p, name, 1)
	must(t, g.Set(spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(16 * mebi)}}))
	return g
}

// watched is a watcher of the test's life.
func watched(t *testing.T, p *cgroup.Parent) *cgroup.Watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w, err := p.Watch(ctx)
	must(t, err)
	t.Cleanup(func() {
		cancel()
		for range w.Hints() { // until it has ended
		}
	})
	return w
}

// kills waits for a number of kills of a group, in whatever portions, and tells them.
func kills(t *testing.T, w *cgroup.Watcher, name string, want uint64) (portions []uint64) {
	t.Helper()
	timeout := time.After(patience)
	for sum := uint64(0); sum < want; {
		select {
		case e := <-w.Hints():
			if e.Kind == spec.EventOOM && e.Name == name {
				if e.Count == 0 {
					t.Fatalf("a hint of no kill: %+v", e)
				}
				sum += e.Count
				portions = append(portions, e.Count)
			}
		case <-timeout:
			t.Fatalf("%d kills told of %d: %v", sum, want, portions)
		}
	}
	return portions
}

// quiet checks that nothing more is told of kills.
func quiet(t *testing.T, w *cgroup.Watcher) {
	t.Helper()
	for timeout := time.After(1500 * time.Millisecond); ; {
		select {
		case e := <-w.Hints():
			if e.Kind == spec.EventOOM {
				t.Fatalf("one more: %+v", e)
			}
		case <-timeout:
			return
		}
	}
}

// One kill is one hint, three are three, and none of those before counts.
func TestKillsAreCounted(t *testing.T) {
	kerneltest.Require(t, feature.Memory)
	p := kerneltest.Cgroups(t)
	g, other := limited(t, p, "web"), limited(t, p, "other")
	before := start(t, g, hog)
	_ = before.Wait()
	if n, err := g.OOMKills(); err != nil || n != 1 {
		t.Fatalf("%d kills, %v", n, err)
	}

	w := watched(t, p)
	for range 2 {
		must(t, w.Add(g))
		must(t, w.Add(other))
	}
	quiet(t, w)
	start(t, g, hog+"; echo ready; sleep 1000; true")
	if got := kills(t, w, "web", 1); len(got) != 1 {
		t.Errorf("one kill came as %v", got)
	}
	start(t, g, fmt.Sprintf("%s; %s; %s; sleep 1000; true", hog, hog, hog))
	kills(t, w, "web", 3)
	start(t, other, hog+"; sleep 1000; true")
	kills(t, w, "other", 1)
	quiet(t, w)
	if n, err := g.OOMKills(); err != nil || n != 5 {
		t.Errorf("%d kills, %v, want 5", n, err)
	}
	w.Remove(g)
	start(t, g, hog+"; sleep 1000; true")
	statsUntil(t, g, "a sixth kill", func(s spec.Stats) bool { return s.Memory.Events.OOMKill == 6 })
	quiet(t, w)
}

// Memory that is met and given back is no kill.
func TestALimitMetIsNoKill(t *testing.T) {
	kerneltest.Require(t, feature.Memory)
	p := kerneltest.Cgroups(t)
	g := limited(t, p, "web")
	w := watched(t, p)
	must(t, w.Add(g))
	file := filepath.Join(t.TempDir(), "file")
	start(t, g, "dd if=/dev/zero of="+file+" bs=1M count=64 2>/dev/null; echo ready; sleep 1000; true")
	if s := statsUntil(t, g, "a limit met", func(s spec.Stats) bool { return s.Memory.Events.Max > 0 }); s.Memory.Events.OOMKill != 0 {
		t.Errorf("got %+v", s.Memory.Events)
	}
	quiet(t, w)
}
