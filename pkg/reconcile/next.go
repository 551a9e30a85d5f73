package reconcile

import (
	"fmt"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// step is what to do next: an action, or nothing until something happens or it is time.
type step struct {
	action   *Action
	wake     time.Time
	due      time.Time // when an image is due
	waiting  bool      // a stop has to end first
	held     *Failure  // the action failed before and is not tried yet, or not at all
	orphaned bool      // what is there is left alone from now on
	blocked  string    // other containers have to be so far first
	missing  bool      // then: it is a config that has to be there
}

func wait(until time.Time) step { return step{wake: until} }

// next is the next step, by the first rule that has one.
func (w *world) next() step {
	switch {
	case w.Desired != nil && (w.Desired.Hold != "" || w.Desired.Accepted.Reason == ReasonRemoving && w.Down.IsZero()):
		return step{}
	case w.suspended() && w.Down.IsZero():
		return step{}
	case !w.Down.IsZero() && (w.Desired != nil || w.Record.Removed):
		return w.goDown()
	case w.Desired == nil && w.Record.Removed:
		return w.retireAll()
	case w.Desired == nil:
		return step{}
	}
	for _, in := range w.Observed {
		if in.Phase == spec.InstanceBroken {
			return w.try(Action{Verb: VerbDestroy, Instance: in.ID, Keep: true, Cause: fmt.Sprintf("instance %d is broken: %s", in.ID, in.Problem)})
		}
	}
	switch w.state() {
	case spec.StateStopped:
		return w.stopAll()
	case spec.StateCheckpointed:
		return w.saveAll()
	}
	return w.become()
}

// become has one instance that is what is wanted, and no other.
func (w *world) become() step {
	current, ok := w.current()
	if !ok && len(w.Observed) == 0 && w.completed() {
		return step{}
	}
	if !ok {
		return w.create()
	}
	for _, in := range w.Observed {
		if in.ID == current.ID {
			continue
		}
		return w.supersede(in, current)
	}
	return w.keepUp(current)
}

// try is an action, unless it failed before and has to wait.
func (w *world) try(a Action) step {
	a.Name = w.Name
	if f := w.Failure; f.Verb == a.Verb && f.holds(w.now) {
		return step{wake: f.Retry, held: &f}
	}
	return step{action: &a}
}

// current is the instance to keep: one that matches, rather with processes than without, rather new than old.
func (w *world) current() (best spec.Instance, ok bool) {
	for _, in := range w.Observed {
		if w.matches(in) && (!ok || live(in) || !live(best)) {
			best, ok = in, true
		}
	}
	return best, ok
}

// create prepares a new instance, beside the old ones: what runs is only stopped when its successor can be made.
func (w *world) create() step {
	id := max(w.Record.NextInstance, 1)
	cause := w.creationCause()
	for _, in := range w.Observed {
		id = max(id, in.ID+1)
		cause = w.replaceCause(in)
	}
	s := w.try(Action{Verb: VerbCreate, Instance: id, Cause: cause, Container: w.wanted})
	if s.held == nil || !s.held.stalled() {
		return s
	}
	// There will be no successor for now: what ran goes on, with what the manifest says of restarts and stops.
	old := w.shown()
	if old.Starts == 0 {
		return s
	}
	alive := w.run(old, w.wanted)
	if alive.action != nil || alive.waiting {
		return alive
	}
	s.wake = earlier(s.wake, alive.wake)
	return s
}

// supersede ends an instance that another took the place of. What runs is stopped when its successor can be started.
func (w *world) supersede(in, current spec.Instance) step {
	if live(in) && !live(current) && in.Stopping.IsZero() {
		if first := w.prepared(current); first != nil {
			return *first
		}
	}
	return w.retire(in, true, w.supersededCause(in, current))
}

// keepUp makes the one instance there is do what is wanted.
func (w *world) keepUp(in spec.Instance) step {
	update := w.update(in)
	if update.action == nil {
		repair := w.repair(in)
		update.action, update.wake = repair.action, earlier(update.wake, repair.wake)
	}
	if update.action != nil {
		return update
	}
	s := w.configured(in, w.run(in, w.wanted))
	if s.action != nil {
		return s
	}
	if s.held == nil && !s.waiting {
		image := w.scheduled(in)
		s.action, s.due = image.action, earlier(s.due, image.due)
	}
	s.wake = earlier(s.wake, update.wake)
	if s.held == nil {
		s.held = update.held
	}
	return s
}

// update brings the live fields and the limits of an instance up to date.
func (w *world) update(in spec.Instance) step {
	a := Action{Verb: VerbUpdate, Instance: in.ID, Container: w.wanted}
	switch {
	case in.Spec.Metadata.Name == "":
		a.Cause = fmt.Sprintf("the record of instance %d is lost", in.ID)
	case w.liveCause(in) != "":
		a.Cause = w.liveCause(in)
	case !in.Resources.Equal(in.Wanted):
		if due := driftDue(w.Record.Drift, w.now); due.After(w.now) {
			return wait(due)
		}
		a.Cause, a.Repair = driftCause(in), true
		for _, d := range limitDrifts(in) {
			a.Fields = append(a.Fields, d.Field)
		}
	default:
		return step{}
	}
	return w.try(a)
}

// earlier is the earlier of two times, of which a zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
