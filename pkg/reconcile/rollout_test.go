package reconcile_test

import (
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestProvenByOneRun shows that the time a manifest has to be ready for is that of one run, whoever saw the one before end.
func TestProvenByOneRun(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	c := spec.Container{APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: "web"}}
	for began, want := range map[time.Duration]spec.RolloutState{time.Minute: spec.RolloutHealthy, 3 * time.Second: ""} {
		s := reconcile.Subject{
			Name: "web", Desired: &reconcile.Desired{Container: c},
			Record: record.Record{Name: "web", Container: c, Generation: 1, Rollout: record.Rollout{Accepted: now.Add(-time.Minute), Began: now.Add(-time.Minute), HealthySince: now.Add(-15 * time.Second)}},
			Observed: []spec.Instance{{
				Name: "web", ID: 1, Phase: spec.InstanceRunning, Spec: c, Hash: spec.Identity(c, spec.DefaultsVersion), Defaults: spec.DefaultsVersion, Starts: 2, StartedAt: now.Add(-began),
			}},
		}
		if got := reconcile.Plan(s, now).Record.Rollout.Outcome; got != want {
			t.Errorf("a run that began %v ago: %q, not %q", began, got, want)
		}
	}
}
