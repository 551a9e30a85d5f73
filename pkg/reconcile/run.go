package reconcile

import (
	"fmt"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// run makes an instance run or pause, as a manifest says.
func (w *world) run(in spec.Instance, c spec.Container) step {
	switch {
	case in.Phase == spec.InstanceCreated:
		return w.gate(w.begins(in, w.first(in, c)))
	case in.Phase == spec.InstanceExited && w.restartAsked(in):
		return w.restart(in, c) // at once
	case in.Phase == spec.InstanceExited:
		return w.gate(w.begins(in, w.restart(in, c)))
	}
	return w.runOn(in, c)
}

// runOn ends, pauses or resumes what has processes, where there is a reason to.
func (w *world) runOn(in spec.Instance, c spec.Container) step {
	end, started := w.end(in, c), w.postStart(in, c)
	paused := in.Phase == spec.InstancePaused
	switch {
	case !in.Stopping.IsZero():
		return w.awaitStop(in, VerbKill)
	case w.restartAsked(in):
		return w.try(w.stopAction(in.ID, c, askedCause))
	case w.restoreAsked(in):
		return w.try(w.stopAction(in.ID, c, restoreCause))
	case started.action != nil:
		return started
	case !paused && !w.health(in).Live:
		return w.stopUnhealthy(in, c, w.health(in).Message)
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

// The causes of what somebody asked for.
const (
	askedCause   = "a restart was asked for"
	restoreCause = "a restore was asked for"
)

// restartAsked tells whether somebody asked that an instance's run ends for a new one.
func (w *world) restartAsked(in spec.Instance) bool {
	return !w.Record.Restart.IsZero() && w.Record.Restart == runOf(in)
}

// runOf names an instance's run.
func runOf(in spec.Instance) record.Restart {
	return record.Restart{Instance: in.ID, Starts: in.Starts}
}

// stopUnhealthy stops a run that fails though it goes on: its end counts as a failure.
func (w *world) stopUnhealthy(in spec.Instance, c spec.Container, cause string) step {
	a := w.stopAction(in.ID, c, cause)
	a.Unhealthy = runOf(in)
	return w.try(a)
}

// begins is the begin of a run, s, as far as its time has come.
func (w *world) begins(in spec.Instance, s step) step {
	if w.wanted.Spec.Job.Scheduled() && !w.restoreAsked(in) {
		return w.scheduledRun(in, s)
	}
	return s
}
