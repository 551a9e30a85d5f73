package linux_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Verbs of different names run in parallel, while everything is observed, and leave nothing.
func TestParallel(t *testing.T) {
	n := open(t)
	memory := spec.Writable{Medium: spec.MediumMemory, Life: spec.LifeInstance}
	n.say(t, n.writable("warm", "", memory))
	kerneltest.NoLeaks(t, kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}})
	ctx, done := context.WithCancel(t.Context())
	var watching, working sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			if _, err := n.Observe(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	for worker := range 8 {
		working.Go(func() {
			for round := range 4 {
				name := fmt.Sprintf("worker-%d", worker)
				c := n.writable(name, fmt.Sprintf("echo %s round %d; exit %d", name, round, round), memory)
				for _, do := range []func() error{
					func() error { return n.Create(ctx, c, uint64(round+1), spec.DefaultsVersion) },
					func() error { return n.Start(ctx, name, uint64(round+1)) },
					func() error { return n.awaitExit(name, round) },
					func() error { return n.Destroy(ctx, name, uint64(round+1), false) },
				} {
					if err := do(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	working.Wait()
	done()
	watching.Wait()
}

// awaitExit waits for the exit with a code; it fails the caller, which may be any goroutine, by an error.
func (n *node) awaitExit(name string, code int) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		all, err := n.ObserveOne(context.Background(), name)
		if err != nil {
			return err
		}
		if len(all) == 1 && all[0].Exit != nil {
			if all[0].Exit.Code != code {
				return fmt.Errorf("%s ended as %+v, want code %d", name, all[0].Exit, code)
			}
			return nil
		}
	}
	return fmt.Errorf("%s never ended", name)
}

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
	must(t, n.Start(t.Context(), "after", 1)) // by another keeper
	must(t, n.Kill(t.Context(), "after", 1, "SIGKILL"))
	next(t, events, spec.Event{Name: "after", Kind: spec.EventExit})
	if feature.Memory.Probe() == nil && kerneltest.Tree(t).V1["memory"] == "" { // v1 does not tell
		hog := n.container("hog", `x=$(head -c 100000000 /dev/zero | tr '\0' x)`)
		hog.Spec.Resources.Memory.Max = spec.NewLimit(16 * mebi)
		n.run(t, hog, 1)
		next(t, events, spec.Event{Name: "hog", Kind: spec.EventOOM})
	}
	cancel()
	for range events { // until it is closed
	}
}

// A reader that does not read finds, after what it missed, that it missed something.
func TestSlowReader(t *testing.T) {
	n := open(t)
	events, err := n.Events(t.Context())
	must(t, err)
	n.run(t, n.container("web", "sleep 1000; true"), 1)
	for deadline := time.Now().Add(patience); len(events) < cap(events); {
		must(t, n.Pause(t.Context(), "web", 1))
		must(t, n.Resume(t.Context(), "web", 1))
		if time.Now().After(deadline) {
			t.Fatalf("only %d hints came", len(events))
		}
	}
	var all []spec.Event
	for len(events) > 0 {
		all = append(all, <-events)
	}
	if last := all[len(all)-1]; last.Kind != spec.EventLost {
		t.Errorf("the last of %d hints is %+v", len(all), last)
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
