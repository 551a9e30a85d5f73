package simnode

import (
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// seen is how long after a change of a process an agent may not have looked: hints are lost, and looks fail.
const seen = 45 * time.Second

// far is how far the container of a name has come, as the machine knows it.
type far struct {
	up, runs, completed span      // it has a process, one that is not frozen, or has exited with 0
	ended               span      // some instance has exited with 0, whether there is a newer one or not
	asked, there        bool      // to end; there is an instance
	since               time.Time // when the run began that it has
	sick                span      // whoever asks it is not told that it is healthy
	done                *spec.Container
	group               string // of the newest instance
}

// lasted tells whether a span was on at some moment of the last time.
func (s span) lasted(d time.Duration) bool { return s.on || !s.till.IsZero() && time.Since(s.till) < d }

// to begins or ends a span, exactly.
func (s span) to(on bool) span {
	switch {
	case on == s.on:
	case on:
		s.since = time.Now()
	default:
		s.till = time.Now()
		s.last = s.till.Sub(s.since)
	}
	s.on = on
	return s
}

// Watches is for Machine.Watch.
func (o *Oracle) Watches(name string, instances []spec.Instance) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.far[name]
	f.up = f.up.to(slices.ContainsFunc(instances, hasProcess))
	before := f.runs
	f.runs = f.runs.to(slices.ContainsFunc(instances, func(in spec.Instance) bool { return in.Phase == spec.InstanceRunning }))
	f.ended = f.ended.to(slices.ContainsFunc(instances, done))
	f.there = len(instances) > 0
	f.asked = slices.ContainsFunc(instances, func(in spec.Instance) bool { return !in.Stopping.IsZero() })
	switch {
	case len(instances) > 0:
		last := instances[len(instances)-1]
		if f.runs.on && !before.on && last.StartedAt.Equal(f.since) && time.Since(before.till) < seen { // so short a freeze need not be seen
			f.runs.since = before.since
		}
		f.completed, f.since = f.completed.to(done(last)), last.StartedAt
		f.group = last.Spec.Spec.Group
		if done(last) && last.Spec.Metadata.Name != "" {
			f.done = &last.Spec
		}
	default:
		delete(o.ticks, name)
		f.completed = f.completed.to(f.completed.on && f.done != nil && f.done.Spec.Job.History > 0 && !scheduled(*f.done)) // a job without a schedule has completed for good
	}
	o.far[name] = f
}

// done tells whether an instance did what it was there for.
func done(in spec.Instance) bool {
	return in.Phase == spec.InstanceExited && in.Exit.Code == 0 && byItself(in.Exit.Reason)
}

// Answers tells what whoever asks a container is told from now on.
func (o *Oracle) Answers(name string, healthy bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.far[name]
	f.sick = f.sick.set(!healthy)
	o.far[name] = f
}

// last is what was asked for of a name last, if it was not removed before it.
func (o *Oracle) last(name string) (c spec.Container) {
	for _, v := range slices.Backward(o.history[name]) {
		if v.Container != nil {
			return *v.Container
		}
	}
	return c
}

// so tells whether a container may have come as far as a milestone by what an agent saw last.
func (o *Oracle) so(name string, m spec.Milestone) bool {
	f := o.far[name]
	switch {
	case f.completed.lasted(seen) || o.oldJob(name):
		return true
	case m == spec.MilestoneCompleted:
		return false
	case m == spec.MilestoneStarted:
		return f.up.lasted(seen)
	}
	asked := returned(o.ledger.records[name]) == nil && !o.ledger.held[name] // nobody asks what is left alone
	for _, v := range o.versions(name) {
		if v.Container == nil {
			return f.runs.lasted(seen)
		}
		p := v.Container.Spec.Probes
		begun := p.Startup != nil && !v.From.IsZero() && v.From.Add(lag).Before(f.since) // a run that had started before has started
		asked = asked && (begun || p.Readiness != nil)
	}
	return f.runs.lasted(seen) && (!asked || !f.sick.on || time.Since(f.sick.since) < 2*seen)
}

// oldJob tells whether what may be asked for is a job that has completed, whatever ran since.
func (o *Oracle) oldJob(name string) bool {
	r := o.ledger.records[name]
	done, all := r.Job.Completed, o.versions(name)
	if back := returned(r); back != nil {
		all = append(all, Version{Container: back})
	}
	return done != "" && slices.ContainsFunc(all, func(v Version) bool {
		return v.Container != nil && v.Container.Spec.Job.History > 0 && !scheduled(*v.Container) && spec.Identity(*v.Container, spec.DefaultsVersion) == done
	})
}

// met tells whether a dependency may be so far.
func (o *Oracle) met(d spec.Dependency) bool {
	if o.so(d.Name, d.Condition) {
		return true
	}
	member, all := false, true
	for name := range o.history {
		_, known := o.ledger.records[name]
		may, must := false, known && !o.ledger.held[name] || !o.blinded(name) // of what nobody ever saw, or can read, the agent knows nothing
		for _, v := range o.versions(name) {
			in := v.Container != nil && v.Container.Spec.Group == d.Name
			left := v.Container == nil && o.leftOf(name, d.Name)
			may, must = may || in || left, must && in && !o.circled[name].may() // or it is not in force
		}
		member = member || may
		all = all && (!must || o.so(name, d.Condition))
	}
	return (member || o.forgottenOf(d.Name)) && all
}

// leftOf tells whether something that nobody claims, or that is left alone, may be one of a group: its manifest may have left that before an agent saw it.
func (o *Oracle) leftOf(name, group string) bool {
	return (o.far[name].there || o.ledger.held[name]) && (o.last(name).Spec.Group == group || o.far[name].group == group)
}

// forgottenOf tells whether something of a group may be there of which the oracle knows no manifest any more.
func (o *Oracle) forgottenOf(group string) bool {
	for name := range o.far {
		if o.history[name] == nil && o.leftOf(name, group) {
			return true
		}
	}
	return false
}

// waits says which dependency a run that begins has not waited for.
func (o *Oracle) waits(verb string, c trial) string {
	if verb != "Start" && verb != "Restore" || c.handled {
		return ""
	}
	missing := ""
	for _, v := range o.versions(c.name) { // not that of a manifest that was returned to: the newest says what it waits for
		if v.Container == nil {
			continue
		}
		i := slices.IndexFunc(v.Container.Spec.DependsOn, func(d spec.Dependency) bool { return !o.met(d) })
		if i < 0 {
			return ""
		}
		missing = v.Container.Spec.DependsOn[i].Name
	}
	if missing == "" {
		return ""
	}
	return "it depends on " + missing + ", which is not so far"
}

// sure tells whether a dependency is so far for sure, and has been for a while.
func (o *Oracle) sure(d spec.Dependency) bool {
	if o.history[d.Name] != nil {
		return o.surely(d.Name, d.Condition)
	}
	members := 0
	for name, all := range o.history {
		last := all[len(all)-1].Container
		switch {
		case last == nil && o.leftOf(name, d.Name):
			return false
		case last == nil || last.Spec.Group != d.Name:
			continue
		case !o.surely(name, d.Condition):
			return false
		}
		members++
	}
	return members > 0 && !o.forgottenOf(d.Name)
}

func (o *Oracle) surely(name string, m spec.Milestone) bool {
	f, r, all := o.far[name], o.ledger.records[name], o.history[name]
	c := all[len(all)-1].Container
	if c == nil || !runs(*c) || o.ledger.held[name] || !r.Override.IsZero() || c.Spec.Suspend || o.blinded(name) {
		return false
	}
	completed := f.completed.on && time.Since(f.completed.since) > seen && !scheduled(*c) && !restartsAfter(*c, spec.Exit{Reason: spec.ExitCompleted})
	if !f.there && completed { // a job of which nothing is left: another has not completed, nor has it where that was forgotten
		completed = spec.Identity(*c, spec.DefaultsVersion) == r.Job.Completed
	}
	switch m {
	case spec.MilestoneCompleted:
		return completed
	case spec.MilestoneStarted:
		return completed || f.up.on && time.Since(f.since) > seen
	}
	return completed || f.runs.on && time.Since(f.since) > 2*seen && !f.sick.lasted(2*seen)
}
