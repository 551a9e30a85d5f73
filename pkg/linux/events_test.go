package linux_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// next waits for a hint of a kind about a name.
func next(t testing.TB, events <-chan spec.Event, want spec.Event) {
	t.Helper()
	var seen []spec.Event
	for {
		select {
		case e := <-events:
			if e == want {
				return
			}
			seen = append(seen, e)
		case <-time.After(patience):
			t.Fatalf("no %+v among %+v", want, seen)
		}
	}
}

// Exits, freezes and kills for want of memory are told, also of what was there before, until the context ends.
func TestEvents(t *testing.T) {
	n := open(t)
	n.run(t, n.container("before", "echo up; sleep 1000; true"), 1)
	ctx, cancel := context.WithCancel(t.Context())
	events, err := n.Events(ctx)
	must(t, err)
	n.run(t, n.container("after", "echo up; sleep 1000; true"), 1)
	for _, name := range []string{"before", "after"} {
		must(t, n.Pause(t.Context(), name, 1))
		next(t, events, spec.Event{Name: name, Kind: spec.EventFreeze})
		must(t, n.Resume(t.Context(), name, 1))
		next(t, events, spec.Event{Name: name, Kind: spec.EventFreeze})
		must(t, n.Kill(t.Context(), name, 1, "SIGKILL"))
		next(t, events, spec.Event{Name: name, Kind: spec.EventExit})
	}
	n.killKeeper(t)
	next(t, events, spec.Event{Kind: spec.EventLost}) // another keeper is there; what happened in between nobody told
	must(t, n.Start(t.Context(), "after", 1))
	must(t, n.Kill(t.Context(), "after", 1, "SIGKILL"))
	next(t, events, spec.Event{Name: "after", Kind: spec.EventExit})
	if feature.Memory.Probe() == nil {
		hog := n.container("hog", `x=$(head -c 100000000 /dev/zero | tr '\0' x)`)
		hog.Spec.Resources.Memory.Max = spec.NewLimit(16 * mebi)
		n.run(t, hog, 1)
		next(t, events, spec.Event{Name: "hog", Kind: spec.EventOOM, Count: 1})
	}
	cancel()
	for range events { // until it is closed
	}
}

// Features name every probe, and what is missing says why.
func TestFeatures(t *testing.T) {
	n := open(t)
	features := n.Features(t.Context())
	for _, f := range feature.All() {
		if err, ok := features[f.Name]; !ok || err != nil && !strings.Contains(err.Error(), f.Name) {
			t.Errorf("%s: %v, %v", f.Name, ok, err)
		}
	}
	if len(features) != len(feature.All()) {
		t.Errorf("got %d features", len(features))
	}
}
