package reconcile

import (
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The clock is set, or time just passes.
func TestClockSet(t *testing.T) {
	const year = 365 * 24 * time.Hour
	var c timekeeper
	wall, ran := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC), time.Duration(0)
	for i, step := range []struct{ wall, ran, set time.Duration }{
		{0, 0, 0},
		{time.Hour, time.Hour, 0},
		{time.Hour + time.Second, time.Hour, 0}, // slewed
		{year + time.Minute, time.Minute, year},
		{time.Minute, time.Minute, 0},
		{-year, 0, -year},
	} {
		wall, ran = wall.Add(step.wall), ran+step.ran
		if by := c.set(wall, ran); by != step.set {
			t.Errorf("step %d: %v, want %v", i, by, step.set)
		}
	}
}

// A clock that is set by a year, either way, ends nothing that runs, neither at once nor by what is counted from times before.
func TestClockLeaps(t *testing.T) {
	const year = 365 * 24 * time.Hour
	epoch := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	c := spec.Container{Metadata: spec.Metadata{Name: "web"}}
	c.Spec.Command, c.Spec.Rootfs.Path = []string{"/bin/web"}, "/srv"
	c.Spec.Deadline, c.Spec.Update.HealthyWithin = spec.Duration(time.Hour), spec.Duration(time.Hour)
	in := spec.Instance{
		Name: "web", ID: 2, Spec: c, Hash: spec.Identity(c, spec.DefaultsVersion), Defaults: spec.DefaultsVersion,
		Phase: spec.InstanceRunning, Pid: 7, Starts: 1, StartedAt: epoch,
	}
	s := Subject{Name: "web", Desired: &Desired{Container: c}, Observed: []spec.Instance{in}}
	s.Record.Generation, s.Record.Container = 2, c
	s.Record.History = []record.Revision{{Generation: 1, Container: spec.Container{Metadata: c.Metadata}, Rollout: record.Rollout{Outcome: spec.RolloutHealthy}}}
	first := Plan(s, epoch.Add(time.Second))
	for _, by := range []time.Duration{year, -year} {
		s.Record = first.Record
		s.Record.Drift = record.Drift{Count: 10, Last: epoch}
		move(&s.Record, by)
		for _, later := range []time.Duration{2 * time.Second, 10 * time.Minute} {
			d := Plan(s, epoch.Add(by).Add(later))
			if len(d.Actions) > 0 || d.Record.Rollback.From != 0 {
				t.Errorf("%v: %+v, %+v", by, d.Actions, d.Record.Rollback)
			}
			s.Record = d.Record
		}
		if d := Plan(s, epoch.Add(by).Add(2*time.Hour)); len(d.Actions) == 0 || d.Actions[0].Verb != VerbStop {
			t.Errorf("%v: the deadline is forgotten: %+v", by, d.Actions)
		}
		// What is changed by hand is put back soon, even by an agent that does not know that the clock was set back.
		drifted := in
		drifted.Resources.Memory.Max = spec.NewLimit(1 << 30)
		s.Observed, s.Record.Drift.Last = []spec.Instance{drifted}, epoch
		if d := Plan(s, epoch.Add(-year)); len(d.Actions) == 0 || d.Actions[0].Verb != VerbUpdate {
			t.Errorf("drift: %+v", d.Actions)
		}
		s.Observed = []spec.Instance{in}
	}
}
