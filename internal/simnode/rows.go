package simnode

import (
	"fmt"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// row is what an instance's runs were, as far as limits of restarts go.
type row struct {
	restarts int
	began    time.Time
	from     time.Time // when what was asked for then was asked for
}

// given says why what was given up is not started again.
func (o *Oracle) given(verb string, c trial) string {
	if verb != "Start" && verb != "Restore" {
		return ""
	}
	key := fmt.Sprintf("%s/%d", c.name, c.id)
	w, all := o.rows[key], o.history[c.name]
	fresh := c.handled || len(c.versions) > 1 || len(all) > 0 && !all[len(all)-1].From.Equal(w.from) || o.ticking(c)
	crashed := c.in.Exit != nil && byItself(c.in.Exit.Reason)
	switch lasted := c.lasted(); {
	case fresh || lasted >= 10*time.Minute:
		w = row{}
	case crashed:
		w.restarts++
	default:
		w.restarts = 0
	}
	if w.began.IsZero() && !fresh && c.lasted() > seen && c.in.Exit.StartedAt.After(w.from) {
		w.began = c.in.StartedAt
	}
	if len(c.versions) == 1 { // else the agent may take the newest for new later
		w.from = all[len(all)-1].From
	}
	o.rows[key] = w
	for _, v := range c.versions {
		if v.Container == nil {
			continue
		}
		s := v.Container.Spec
		limited := s.Restart.MaxRestarts > 0 && w.restarts > s.Restart.MaxRestarts+2 // an agent that dies may forget one
		late := s.Deadline > 0 && !w.began.IsZero() && time.Since(w.began) > time.Duration(s.Deadline)+lag
		if !limited && !late {
			return ""
		}
	}
	if fresh || len(c.versions) == 0 {
		return ""
	}
	return fmt.Sprintf("it was given up after %d restarts, or %v", w.restarts, time.Since(w.began).Round(time.Second))
}

// lasted is how long the latest run was.
func (c trial) lasted() time.Duration {
	if c.in.Exit == nil || c.in.Exit.StartedAt.IsZero() {
		return 0
	}
	return c.in.Exit.FinishedAt.Sub(c.in.Exit.StartedAt)
}

// beyond tells whether a process may be asked to end for its time is over, or for it answers nothing good.
func (o *Oracle) beyond(c trial) bool {
	sick := o.far[c.name].sick
	ill := sick.lasted(2 * seen)
	return c.asked(func(v spec.Container) bool {
		if d := time.Duration(v.Spec.Deadline); d > 0 && (c.in.Starts > 1 || time.Since(c.in.StartedAt) >= d-time.Second) {
			return true
		}
		if v.Spec.Job.Schedule.Concurrency == spec.ConcurrencyReplace {
			return true
		}
		if h := v.Spec.Lifecycle.PostStart; ill && h != nil && h.HTTP != nil {
			return true
		}
		return slices.ContainsFunc([]*spec.Probe{v.Spec.Probes.Liveness, v.Spec.Probes.Startup}, func(p *spec.Probe) bool {
			if p == nil || !ill {
				return false
			}
			d := p.Defaulted()
			return time.Since(sick.since) >= time.Duration(d.FailureThreshold-1)*time.Duration(d.Period)
		})
	})
}

// restartsAfter tells what a manifest says of an exit.
func restartsAfter(c spec.Container, e spec.Exit) bool {
	for _, rule := range c.Spec.Restart.Rules {
		if slices.Contains(rule.ExitCodes, e.Code) || slices.Contains(rule.Signals, e.Signal) || slices.Contains(rule.Reasons, spec.ExitReason(e.Reason)) {
			return rule.Action == spec.ActionRestart
		}
	}
	switch c.Spec.Restart.Policy {
	case spec.RestartNever:
		return false
	case spec.RestartOnFailure:
		return e.Code != 0
	}
	return true
}
