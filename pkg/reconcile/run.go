package reconcile

import (
	"fmt"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

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
