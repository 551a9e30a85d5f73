package probe_test

import (
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/probe"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// What a run has said of itself leads from one Health to the next.
func TestTold(t *testing.T) {
	var (
		deaf    = spec.Notified{}
		silent  = spec.Notified{Socket: true}
		loading = spec.Notified{Socket: true, Status: "3 of 5"}
		ready   = spec.Notified{Socket: true, Started: true, Ready: true, Status: "at work"}
		away    = spec.Notified{Socket: true, Started: true}
	)
	type step struct {
		said    spec.Notified
		changed bool
		want    string
		message string
	}
	for name, c := range map[string]struct {
		probes spec.Probes
		steps  []step
	}{
		"readiness": {spec.Probes{Readiness: told}, []step{
			{silent, true, "SrL", "readiness: waits for READY=1"},
			{silent, false, "SrL", "readiness: waits for READY=1"},
			{loading, true, "SrL", "readiness: waits for READY=1: 3 of 5"},
			{ready, true, "SRL", ""},
			{ready, false, "SRL", ""},
			{away, true, "SrL", "readiness: waits for READY=1 again"},
			{ready, true, "SRL", ""},
		}},
		"startup": {spec.Probes{Startup: told}, []step{
			{loading, true, "srL", "startup: waits for READY=1: 3 of 5"},
			{ready, true, "SRL", ""},
			{away, false, "SRL", ""},
		}},
		"startup was over before somebody looked": {spec.Probes{Startup: told}, []step{{away, true, "SRL", ""}}},
		"both": {spec.Probes{Startup: told, Readiness: told}, []step{
			{silent, true, "srL", "startup: waits for READY=1"},
			{away, true, "SrL", "readiness: waits for READY=1 again"},
			{ready, true, "SRL", ""},
		}},
		"startup is asked":    {spec.Probes{Startup: ask(1, 1), Readiness: told}, []step{{ready, false, "srL", ""}}},
		"another kind":        {spec.Probes{Readiness: ask(1, 1)}, []step{{ready, false, "SrL", ""}}},
		"no probe":            {spec.Probes{}, []step{{away, false, "SRL", ""}}},
		"an instance without": {spec.Probes{Readiness: told}, []step{{deaf, true, "SrL", "readiness: waits for READY=1 of the next instance: this one has no socket to say it by"}}},
	} {
		now := time.Unix(100, 0)
		state := probe.NewState(c.probes, probe.Health{}, now)
		for i, s := range c.steps {
			changed := state.Told(s.said, now)
			if h := state.Health(); changed != s.changed || letters(h) != s.want || h.Message != s.message {
				t.Errorf("%s: step %d: got %s %q, changed %v; want %+v", name, i, letters(h), h.Message, changed, s)
			}
		}
	}
}

// What was said before the startup probe succeeded counts when it is told again.
func TestToldBeforeStartup(t *testing.T) {
	now := time.Unix(100, 0)
	state := probe.NewState(spec.Probes{Startup: ask(1, 1), Readiness: told}, probe.Health{}, now)
	ready := spec.Notified{Socket: true, Started: true, Ready: true}
	state.Told(ready, now)
	state.Feed(probe.Startup, probe.Result{Time: now})
	if got := letters(state.Health()); got != "SrL" {
		t.Errorf("after the startup probe: %s", got)
	}
	if !state.Told(ready, now) || letters(state.Health()) != "SRL" {
		t.Errorf("told again: %s", letters(state.Health()))
	}
}
