package reconcile_test

import (
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// strayed is a name that runs as its manifest says, but for what a deep look found.
func strayed(drifts ...spec.Drift) reconcile.Subject {
	c := (&dice{}).container()
	in := spec.Instance{Name: "web", ID: 1, Spec: c, Hash: spec.Identity(c, 1), Defaults: 1, Phase: spec.InstanceRunning, Pid: 7, Starts: 1, StartedAt: epoch}
	in.Resources, in.Wanted = c.Spec.Resources, c.Spec.Resources
	return reconcile.Subject{
		Name: "web", Desired: &reconcile.Desired{Container: c}, Observed: []spec.Instance{in},
		Record: record.Record{Name: "web", Container: c, Generation: 1, NextInstance: 2},
		Deep:   reconcile.Deep{Instance: 1, Starts: 1, Drifts: drifts, Rested: spec.InstanceRunning},
	}
}

// A plan repairs what can be repaired, says why, and does nothing about what ends, is suspended, is of another run, or was repaired too often.
func TestPlanOfDrift(t *testing.T) {
	name := spec.Drift{Field: "hostname", Found: "db", Wanted: "web", Repairable: true}
	mount := spec.Drift{Field: "mounts[/data]", Found: "bind rw", Wanted: "bind ro"}
	for what, row := range map[string]struct {
		change func(*reconcile.Subject)
		want   string // the cause of the repair
		wake   time.Duration
	}{
		"repaired":       {func(*reconcile.Subject) {}, "hostname drifted: found db, wanted web", 0},
		"only reported":  {func(s *reconcile.Subject) { s.Deep.Drifts = []spec.Drift{mount} }, "", 0},
		"another run":    {func(s *reconcile.Subject) { s.Deep.Starts = 2 }, "", 0},
		"stopping":       {func(s *reconcile.Subject) { s.Observed[0].Stopping.Deadline = epoch.Add(time.Hour) }, "", time.Hour + 2*time.Second},
		"suspended":      {func(s *reconcile.Subject) { s.Record.Override.Suspended = true }, "", 0},
		"too often":      {func(s *reconcile.Subject) { s.Record.Drift = record.Drift{Count: 5, Last: epoch} }, "", 4 * time.Second},
		"failed lately":  {func(s *reconcile.Subject) { s.Record.Drift = record.Drift{Failures: 2, Last: epoch} }, "", 2 * time.Second},
		"frozen by hand": {func(s *reconcile.Subject) { s.Deep.Drifts, s.Observed[0].Phase = nil, spec.InstancePaused }, "cgroup.freeze drifted: found frozen, wanted thawed; spec.state is Running", 0},
	} {
		s := strayed(name, mount)
		row.change(&s)
		d := reconcile.Plan(s, epoch)
		cause := ""
		if len(d.Actions) > 0 {
			cause = d.Actions[0].Cause
		}
		if cause != row.want || row.want != "" && !d.Actions[0].Repair {
			t.Errorf("%s: %+v, want %q", what, d.Actions, row.want)
		}
		if wake := d.Wake; row.wake != 0 && !wake.Equal(epoch.Add(row.wake)) {
			t.Errorf("%s: it wakes at %v, want %v later than %v", what, wake, row.wake, epoch)
		}
	}
}
