package reconcile

import (
	"fmt"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
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

// overdue is how long after its deadline a stop may take until it is taken for stuck.
const overdue = 2 * time.Second

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
		return w.suspend()
	}
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
		if live(in) && !live(current) && in.Stopping.IsZero() { // what runs is stopped when its successor can be started
			if first := w.prepared(current); first != nil {
				return *first
			}
		}
		return w.retire(in, true, w.supersededCause(in, current))
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
	s := w.try(Action{Verb: VerbCreate, Instance: id, Cause: cause, Container: w.wanted, Defaults: spec.DefaultsVersion})
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
	a := Action{Verb: VerbUpdate, Instance: in.ID, Container: w.wanted, Defaults: in.Defaults}
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
	default:
		return step{}
	}
	return w.try(a)
}

// run makes an instance run or pause, as a manifest says.
func (w *world) run(in spec.Instance, c spec.Container) step {
	restart := w.Record.Restart == record.Restart{Instance: in.ID, Starts: in.Starts} && !w.Record.Restart.IsZero()
	switch in.Phase {
	case spec.InstanceCreated:
		return w.gate(w.begins(in, w.first(in, c)))
	case spec.InstanceExited:
		s := w.restart(in, c, restart)
		if restart {
			return s
		}
		return w.gate(w.begins(in, s))
	}
	end, started := w.end(in, c), w.postStart(in, c)
	paused := in.Phase == spec.InstancePaused
	switch {
	case !in.Stopping.IsZero():
		return w.awaitStop(in, VerbKill)
	case restart:
		return w.try(w.stopAction(in.ID, c, "a restart was asked for"))
	case w.restoreAsked(in):
		return w.try(w.stopAction(in.ID, c, "a restore was asked for"))
	case started.action != nil:
		return started
	case !paused && !w.health(in).Live:
		s := w.try(w.stopAction(in.ID, c, w.health(in).Message))
		if s.action != nil {
			s.action.Unhealthy = record.Restart{Instance: in.ID, Starts: in.Starts}
		}
		return s
	case !end.IsZero() && !w.now.Before(end):
		return w.try(w.stopAction(in.ID, c, fmt.Sprintf("it did not complete within spec.deadline, %s", c.Spec.Deadline)))
	case w.state() == spec.StatePaused && !paused:
		return w.refreeze(in, Action{Verb: VerbPause, Instance: in.ID, Cause: w.stateCause()})
	case w.state() != spec.StatePaused && paused:
		return w.refreeze(in, Action{Verb: VerbResume, Instance: in.ID, Cause: w.stateCause()})
	}
	s := w.replaced(in, c)
	s.due = earlier(s.due, end)
	return s
}

// begins is the begin of a run, s, as far as its time has come.
func (w *world) begins(in spec.Instance, s step) step {
	if w.wanted.Spec.Job.Scheduled() && !w.restoreAsked(in) {
		return w.scheduledRun(in, s)
	}
	return s
}

// restart starts an ended process again, if and when its restart policy says so.
func (w *world) restart(in spec.Instance, c spec.Container, asked bool) step {
	a := Action{Verb: VerbStart, Instance: in.ID}
	exit := w.exit(in)
	given, _ := w.over(in, c)
	switch {
	case asked:
		a.Cause = "a restart was asked for"
	case w.restoreAsked(in):
		return w.climb(in, "a restore was asked for")
	case given != "":
		return step{}
	case exit.Reason == spec.ExitCheckpointed:
		return w.climb(in, "its processes are in an image; "+w.stateCause())
	case requested(exit):
		a.Cause = stoppedBefore + w.stateCause()
	case exit.Reason == spec.ExitMemoryLost:
		due, _ := restartDue(c, exit, w.Record.Runs, w.now)
		if due.After(w.now) {
			return wait(due)
		}
		return w.climb(in, exitText(exit))
	case !c.Spec.Restart.After(exit):
		return step{}
	default:
		due, delay := restartDue(c, exit, w.Record.Runs, w.now)
		if due.After(w.now) {
			return wait(earlier(due, w.end(in, c)))
		}
		a.Cause = fmt.Sprintf("%s; restart %d", exitText(exit), w.Record.Runs.Restarts+1)
		if delay > 0 {
			a.Cause += fmt.Sprintf(" after %v", spec.Duration(delay))
		}
		if c.Spec.Checkpoint.OnCrash == spec.CrashRestore {
			return w.climb(in, a.Cause)
		}
	}
	return w.try(a)
}

// exit is how an ended instance did, as it was noted: with a time even when nobody saw it.
func (w *world) exit(in spec.Instance) spec.Exit {
	if runs := w.Record.Runs; runs.Instance == in.ID && runs.Exited && w.Record.LastExit != nil {
		return *w.Record.LastExit
	}
	return exitOf(in, w.now)
}

// stopAll ends what runs and keeps what it leaves.
func (w *world) stopAll() step {
	for _, in := range w.Observed {
		switch {
		case !live(in):
		case !in.Stopping.IsZero():
			return w.awaitStop(in, VerbKill)
		default:
			return w.last(w.try(w.stopAction(in.ID, w.wanted, w.stateCause())))
		}
	}
	return step{}
}

// retireAll destroys every instance, the newest first.
func (w *world) retireAll() step {
	if len(w.Observed) == 0 {
		return step{}
	}
	in := w.Observed[len(w.Observed)-1]
	switch w.Record.Container.Spec.DeletionPolicy {
	case spec.DeletionOrphan:
		return step{orphaned: true}
	case spec.DeletionCheckpoint:
		if f := w.Failure; live(in) && in.Stopping.IsZero() && !(f.Verb == VerbCheckpoint && (f.Final || f.Count >= lastImageTries)) {
			return w.last(w.try(Action{
				Verb: VerbCheckpoint, Instance: in.ID, Cause: removedCause, Options: spec.CheckpointOptions{Stop: true, Keep: true, Cause: removedCause},
			}))
		}
	}
	return w.retire(in, false, removedCause)
}

const removedCause = "its manifest was removed"

// lastImageTries is how often a last image is tried before what is to be removed is removed without one.
const lastImageTries = 3

// suspended tells whether nothing is to be done about the name. What is removed goes all the same.
func (w *world) suspended() bool {
	return w.Desired != nil && (w.Record.Override.Suspended || w.wanted.Spec.Suspend)
}

// inLine tells whether what is there is of the spec that is wanted.
func (w *world) inLine() bool {
	in, ok := w.current()
	return ok && w.liveCause(in) == ""
}

func (w *world) suspendedText() string {
	if o := w.Record.Override; o.Suspended {
		return fmt.Sprintf("suspended by hand since %s%s; `reconciler clear %s` ends that", clock(o.Since), untilText(o), w.Name)
	}
	return "spec.suspend is true"
}

func untilText(o spec.Override) string {
	if o.Until.IsZero() {
		return ""
	}
	return " until " + clock(o.Until)
}

// retire stops an instance the way its own manifest says, and destroys it when it has ended.
func (w *world) retire(in spec.Instance, keep bool, cause string) step {
	switch {
	case live(in) && in.Stopping.IsZero():
		s := w.try(w.stopAction(in.ID, w.ownSpec(in), cause))
		if keep {
			return s
		}
		return w.last(s)
	case live(in):
		if s := w.awaitStop(in, VerbDestroy); s.action == nil {
			return s
		}
	}
	return w.try(Action{Verb: VerbDestroy, Instance: in.ID, Keep: keep, Cause: cause})
}

// awaitStop waits for a stop under way; one that is overdue is helped by a verb that does not wait.
func (w *world) awaitStop(in spec.Instance, verb string) step {
	if limit := in.Stopping.Deadline.Add(overdue); limit.After(w.now) {
		return step{wake: limit, waiting: true}
	}
	s := w.try(Action{Verb: verb, Instance: in.ID, Signal: "SIGKILL", Cause: "it did not end by its stop deadline"})
	s.waiting = true
	return s
}

func (w *world) stopAction(id uint64, c spec.Container, cause string) Action {
	stop := spec.Defaulted(c, spec.DefaultsVersion).Spec.Stop
	return Action{Verb: VerbStop, Instance: id, Signal: stop.Signal, Timeout: time.Duration(stop.Timeout), Cause: cause, Handler: c.Spec.Lifecycle.PreStop}
}

// earlier is the earlier of two times, of which a zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
