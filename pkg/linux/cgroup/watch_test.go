package cgroup_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// await reads hints until the wanted one: others may come, and often.
func await(t *testing.T, w *cgroup.Watcher, want spec.Event) {
	t.Helper()
	for e := range w.Hints() {
		if e == want {
			return
		}
		if e.Name != want.Name {
			t.Fatalf("hint %+v while waiting for %+v", e, want)
		}
	}
	t.Fatalf("no more hints while waiting for %+v", want)
}

func TestWatcherHints(t *testing.T) {
	p := kerneltest.Cgroups(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := p.Watch(ctx)
	must(t, err)
	web, db := created(t, p, "web", 1), created(t, p, "db", 7)
	for range 2 {
		must(t, w.Add(web))
		must(t, w.Add(db))
	}

	start(t, web, "echo ready; sleep 1000")
	await(t, w, spec.Event{Name: "web", Kind: spec.EventExit}) // it is populated; the kernel tells changes that follow each other closely as one
	must(t, web.Freeze(ctx))
	await(t, w, spec.Event{Name: "web", Kind: spec.EventFreeze})
	must(t, web.Thaw(ctx))
	await(t, w, spec.Event{Name: "web", Kind: spec.EventFreeze})
	must(t, web.Kill())
	await(t, w, spec.Event{Name: "web", Kind: spec.EventExit})

	must(t, web.Wait(ctx, func(s cgroup.State) bool { return !s.Populated }))
	w.Remove(web)
	w.Remove(web)
	must(t, web.Remove(ctx))
	if err := w.Add(web); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Add of a removed group: %v", err)
	}
	start(t, db, "true")
	await(t, w, spec.Event{Name: "db", Kind: spec.EventExit})

	cancel()
	for range w.Hints() { // closed, after what was on its way
	}
}
