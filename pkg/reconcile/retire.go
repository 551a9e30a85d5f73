package reconcile

import (
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// overdue is how long after its deadline a stop may take until it is taken for stuck.
const overdue = 2 * time.Second

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
				Verb: VerbCheckpoint, Instance: in.ID, Cause: removedCause, Options: spec.CheckpointOptions{Stop: true, Keep: true},
			}))
		}
	}
	return w.retire(in, false, removedCause)
}

const removedCause = "its manifest was removed"

// lastImageTries is how often a last image is tried before what is to be removed is removed without one.
const lastImageTries = 3

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
