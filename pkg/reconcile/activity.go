package reconcile

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Activity is what the loop is about at one moment, in figures and for people. To ask for it holds nothing up.
type Activity struct {
	// Ready are the names that wait for a worker, in their order; Working those that have one, the longest first.
	Ready, Working []Turn
	// Waking is how many names wait for a time, NextWake the earliest of them; zero for none.
	Waking   int
	NextWake time.Time
	Workers  int
	// Relisted is when the node was last looked at as a whole; zero for never.
	Relisted time.Time
	// Desired are the containers in force; Orphaned those of them that no manifest and no record explains, and Blocked those whose removal waits for a confirmation.
	Desired, Orphaned, Blocked int
	Sources                    []SourceActivity
	// Problems counts what is wrong with manifests now, by its reason.
	Problems map[string]int
}

// Turn is a name in the queue, or with a worker.
type Turn struct {
	Name string
	// Since is when it became due, or when a worker took it.
	Since time.Time
	// Verb is what the node is asked for, "" between verbs; Asked is since when.
	Verb  string
	Asked time.Time
}

// SourceActivity is how a source was read.
type SourceActivity struct {
	Name, Revision string
	// OK tells that the latest scan read all of it, Read when that was so last; zero for never.
	OK   bool
	Read time.Time
}

// Activity is what the loop is about now.
func (a *Agent) Activity() Activity {
	activity := a.queue.Activity()
	activity.Workers, activity.Problems = a.Workers, map[string]int{}
	for i, t := range activity.Working {
		if b := a.pulse.of(pulsePass + t.Name); b.verb != "" {
			activity.Working[i].Verb, activity.Working[i].Asked = b.verb, b.since
		}
	}
	a.intake.Lock()
	snapshots := slices.Clone(a.sources)
	a.intake.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	activity.Relisted = a.relisted
	activity.Desired = len(a.admission.Desired)
	for _, d := range a.admission.Desired {
		if d.Hold == orphanHold {
			activity.Orphaned++
		}
	}
	for source, names := range a.admission.Blocked {
		activity.Blocked += len(names)
		if _, unclaimed := a.admission.Unclaimed[source]; unclaimed {
			activity.Orphaned += len(names)
		}
	}
	for _, s := range snapshots {
		activity.Sources = append(activity.Sources, SourceActivity{s.Source, cmp.Or(s.Revision, s.Hash), s.OK(), a.read[s.Source]})
		if !s.OK() {
			activity.Problems[ReasonSourceUnavailable]++
		}
		for _, p := range a.problemsIn(&s) {
			activity.Problems[cmp.Or(p.Reason, ReasonInvalid)]++
		}
	}
	return activity
}

// problemsIn are what is wrong in a source, of its files and of the names in them. The caller holds mu.
func (a *Agent) problemsIn(s *Snapshot) spec.Problems {
	problems := spec.Problems{}
	for _, f := range s.Files {
		problems = append(problems, f.Problems...)
	}
	problems = append(problems, a.admission.Problems[s.Source]...)
	return append(problems, a.configs.Problems[s.Source]...)
}

// Activity is what is in the queue.
func (q *queue) Activity() (activity Activity) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, name := range q.ready {
		activity.Ready = append(activity.Ready, Turn{Name: name, Since: q.tickets[name].since})
	}
	for _, t := range q.tickets {
		if t.working {
			activity.Working = append(activity.Working, Turn{Name: t.name, Since: t.since})
		}
	}
	sort.Slice(activity.Working, func(i, j int) bool { return activity.Working[i].Since.Before(activity.Working[j].Since) })
	if activity.Waking = len(q.wakes); activity.Waking > 0 {
		activity.NextWake = q.wakes[0].wake
	}
	return activity
}
