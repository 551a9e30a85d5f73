package cgroup_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Two busy processes on one processor: half of their time is lost.
const contention = "while :; do :; done & echo ready; while :; do :; done"

// Pressure that a trigger asks for is told, that of others is not, and nothing is told after it was taken back.
func TestPressureTriggers(t *testing.T) {
	kerneltest.Require(t, feature.Pressure)
	p := kerneltest.Cgroups(t)
	w := watched(t, p)
	web, other := created(t, p, "web", 1), created(t, p, "other", 1)
	must(t, w.Add(web))
	must(t, w.Add(other))
	some := spec.Pressure{
		CPU:    spec.PressureTrigger{Some: spec.Duration(100 * time.Millisecond), Window: spec.Duration(time.Second)},
		Memory: spec.PressureTrigger{Some: spec.Duration(time.Second), Full: spec.Duration(time.Second)},
		IO:     spec.PressureTrigger{Full: spec.Duration(2 * time.Second)},
	}
	for range 2 {
		must(t, w.SetPressure(web, some))
	}
	for _, g := range []string{"web", "other"} {
		group := groupOf(t, p, g, 1)
		must(t, group.Set(spec.Resources{Cpuset: spec.Cpuset{Cpus: "0"}}))
		start(t, group, contention)
	}
	told(t, w, "web")
	told(t, w, "web")
	must(t, w.SetPressure(web, spec.Pressure{}))
	must(t, w.SetPressure(other, some))
	told(t, w, "web", "other") // what was on its way may still come
	told(t, w, "other")
	must(t, web.Kill())
	must(t, other.Kill())
}

// told waits until pressure of the last of the names is told, and lets others pass only of the names before.
func told(t *testing.T, w *cgroup.Watcher, names ...string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case e := <-w.Hints():
			switch {
			case e.Kind == spec.EventExit || e.Kind == spec.EventFreeze:
			case e.Kind != spec.EventCPUPressure || e.Count != 1 || !slices.Contains(names, e.Name):
				t.Fatalf("hint %+v while waiting for pressure of %v", e, names)
			case e.Name == names[len(names)-1]:
				return
			}
		case <-timeout:
			t.Fatalf("no pressure of %v", names)
		}
	}
}

// With its group a trigger ends, whether the watcher is told or not; so does everything with the watcher.
func TestTriggersEnd(t *testing.T) {
	kerneltest.Require(t, feature.Pressure)
	p := kerneltest.Cgroups(t)
	kerneltest.NoLeaks(t, kerneltest.Scope{Parent: p.Name(), Pids: []int{0}})
	ctx, cancel := context.WithCancel(t.Context())
	w, err := p.Watch(ctx)
	must(t, err)
	some := spec.Pressure{CPU: spec.PressureTrigger{Some: spec.Duration(time.Second)}}
	for _, told := range []bool{true, false, false} {
		g := created(t, p, "web", 1)
		must(t, w.Add(g))
		must(t, w.SetPressure(g, some))
		if told {
			w.Remove(g)
		}
		must(t, g.Remove(ctx))
		if err := w.SetPressure(g, spec.Pressure{IO: some.CPU}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a trigger of a removed group: %v", err)
		}
		w.Remove(g)
	}
	g := created(t, p, "left", 1)
	must(t, w.Add(g))
	must(t, w.SetPressure(g, some))
	cancel()
	for range w.Hints() {
	}
	if err := w.Add(g); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Add to a watcher that has ended: %v", err)
	}
	if err := w.SetPressure(g, spec.Pressure{}); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("SetPressure: %v", err)
	}
	w.Remove(g)
	must(t, g.Remove(t.Context()))
}
