package simnode

import (
	"fmt"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func scheduled(c spec.Container) bool { return c.Spec.Job.Scheduled() }

// surely tells whether every version is as a test says, and there is one.
func (c trial) surely(test func(spec.Container) bool) bool {
	return c.asked(test) && !c.removed() && !c.asked(func(v spec.Container) bool { return !test(v) })
}

// ticking tells whether a run is one that a schedule begins, as is written down.
func (o *Oracle) ticking(c trial) bool {
	t := o.ledger.records[c.name].Job.Tick
	return !t.Time.IsZero() && t.Instance == c.id && t.Starts == c.in.Starts+1
}

// jobs says why a run of a job may not begin.
func (o *Oracle) jobs(verb string, c trial) string {
	if verb != "Start" && verb != "Create" {
		return ""
	}
	f, r := o.far[c.name], o.ledger.records[c.name]
	if len(c.others) > 0 || c.handled { // what it runs has changed, or somebody wants it to run again: it may be interrupted
		f.done = nil
		o.far[c.name] = f
	}
	if c.handled {
		return ""
	}
	done := f.done
	if done != nil && r.Job.Completed == spec.Identity(*done, spec.DefaultsVersion) && c.surely(func(v spec.Container) bool {
		return v.Spec.Job.History > 0 && !scheduled(v) && sameFrozen(v, *done) && v.Spec.Group == done.Spec.Group
	}) {
		return "this job has completed"
	}
	if verb != "Start" || !c.surely(scheduled) || len(c.versions) > 1 {
		return ""
	}
	tick := r.Job.Tick
	switch {
	case !o.ticking(c):
		if c.in.Exit != nil && byItself(c.in.Exit.Reason) && c.in.Exit.Code != 0 || r.LastExit != nil && r.LastExit.Reason == spec.ExitUnhealthy || r.Unhealthy.Instance == c.id && r.Unhealthy.Starts == c.in.Starts {
			return "" // another try of the run that failed
		}
		return "no run of the schedule is written down"
	case tick.Time.After(time.Now()) || tick.Time.Second() != 0:
		return fmt.Sprintf("nothing is due at %v", tick.Time)
	case !tick.Time.After(o.ticks[c.name]):
		return fmt.Sprintf("the run of %v was begun before, or one after it", tick.Time)
	}
	o.ticks[c.name] = tick.Time
	return ""
}

// lost says which run of a schedule did not come, of what has had nothing in its way for a while: a config that nobody has may be.
func lost(want spec.Container, in spec.Instance, r record.Record) string {
	every := time.Minute
	if want.Spec.Job.Schedule.Cron[0] == '*' && want.Spec.Job.Schedule.Cron[1] == '/' {
		every = 2 * time.Minute
	}
	last := r.Job.Last
	if last.Before(r.Rollout.Accepted) {
		last = r.Rollout.Accepted
	}
	if last.IsZero() || hasProcess(in) || len(want.Spec.Configs) > 0 || time.Since(last) < 2*every+time.Minute || !want.Spec.Job.Scheduled() {
		return ""
	}
	return fmt.Sprintf("the latest run of its schedule is that of %v", last)
}
