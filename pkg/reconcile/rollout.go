package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/probe"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// health is what is known of the health of an instance's run: what its probes said last, or what holds before they said anything.
func (w *world) health(in spec.Instance) record.Health {
	if h := w.Record.Health; h.Instance == in.ID && h.Starts == in.Starts && h.Instance != 0 {
		return h
	}
	begin := probe.NewState(w.wanted.Spec.Probes, probe.Health{}, time.Time{})
	return record.Health{Instance: in.ID, Starts: in.Starts, Health: begin.Health()}
}

// serves tells whether an instance runs and is ready.
func (w *world) serves(in spec.Instance) bool {
	return in.Phase == spec.InstanceRunning && in.Stopping.IsZero() && w.health(in).Ready && !w.startPending(in)
}

// judge is the record with what its manifest has proven by now, and when to look again. One that has failed makes room for the last that has proven itself.
func (w *world) judge() (r record.Record, next time.Time) {
	r = w.Record
	if w.Desired == nil || r.Generation == 0 {
		return r, next
	}
	_, back := r.RolledBack()
	if w.Order.Mate != "" && !back && w.Down.IsZero() && !w.suspended() {
		if _, ok := r.Good(); ok {
			w.rollBack(&r, spec.ReturnedByGroup, w.Order.Mate)
			return r, next
		}
	}
	if r.Rollout.Outcome != "" || back { // what runs then is another's
		return r, next
	}
	if !w.proves() {
		r.Rollout.Began, r.Rollout.HealthySince = time.Time{}, time.Time{}
		return r, next
	}
	next = w.prove(&r)
	return r, next
}

// prove writes down how far a manifest that runs has proven itself, and gives when to look again.
func (w *world) prove(r *record.Record) (next time.Time) {
	if r.Rollout.Began.IsZero() || r.Rollout.Began.After(w.now) {
		r.Rollout.Began = w.now
	}
	update := w.wanted.Spec.Updating()
	if w.proven(&r.Rollout, time.Duration(update.HealthyFor)) {
		r.Rollout.Outcome, r.Rollout.Message = spec.RolloutHealthy, ""
		return next
	}
	if !r.Rollout.HealthySince.IsZero() {
		next = r.Rollout.HealthySince.Add(time.Duration(update.HealthyFor))
	}
	if update.OnFailure != spec.FailureRollback {
		return next
	}
	end := r.Rollout.Began.Add(time.Duration(update.HealthyWithin))
	if why := w.failed(end); why != "" {
		w.rollBack(r, spec.ReturnedByHealth, why)
		return time.Time{}
	}
	return earlier(next, end)
}

// proves tells whether the manifest can prove itself now: nothing else keeps it from running.
func (w *world) proves() bool {
	return w.asked() == spec.StateRunning && w.Down.IsZero() && w.Order.Waits == "" && w.Desired.Hold == "" && !w.suspended() && !w.lacks() && !w.makesRoom()
}

// makesRoom tells whether what ran before has still to end, which takes the time that its own manifest says.
func (w *world) makesRoom() bool {
	return slices.ContainsFunc(w.Observed, func(in spec.Instance) bool { return live(in) && !in.Stopping.IsZero() && !w.matches(in) })
}

// proven tells whether the manifest's container has been ready for long enough, or has completed; it notes since when it is ready.
func (w *world) proven(r *record.Rollout, enough time.Duration) bool {
	in, ok := w.current()
	switch {
	case ok && w.wanted.Spec.Job.Scheduled(): // when it runs, and how that ends, is another matter
		return true
	case !ok && len(w.Observed) == 0 && w.completed(): // in an earlier boot
		return true
	case !ok || !w.serves(in):
		r.HealthySince = time.Time{}
		exit := w.exit(in)
		return ok && in.Phase == spec.InstanceExited && !exit.Failed() && !requested(exit) && !w.wanted.Spec.Restart.After(exit)
	case r.HealthySince.IsZero() || r.HealthySince.After(w.now) || r.HealthySince.Before(w.past(in.StartedAt)): // of a run that nobody saw the end of
		r.HealthySince = w.now
	}
	return !w.now.Before(r.HealthySince.Add(enough))
}

// failed says why the manifest will not prove itself; "" when it still may, until end.
func (w *world) failed(end time.Time) string {
	in, ok := w.current()
	switch f := w.Failure; {
	case f.Final && (f.Verb == VerbCreate || f.Verb == VerbStart):
		return f.Err.Error()
	case ok && in.Phase == spec.InstanceExited && !requested(w.exit(in)):
		if exit := w.exit(in); !w.wanted.Spec.Restart.After(exit) {
			return exitText(exit)
		}
		if _, over := w.over(in, w.wanted); over != "" {
			return over
		}
	}
	if w.now.Before(end) {
		return ""
	}
	why := fmt.Sprintf("not ready within %s", w.wanted.Spec.Updating().HealthyWithin)
	switch f := w.Failure; {
	case f.Err != nil:
		why += ": " + f.Err.Error()
	case ok && w.health(in).Message != "":
		why += ": " + w.health(in).Message
	case w.Record.LastExit != nil && ok && in.Starts > 1:
		why += ": " + exitText(*w.Record.LastExit)
	}
	return why
}

// rollBack returns to the last manifest that has proven itself, if there is one.
func (w *world) rollBack(r *record.Record, by spec.ReturnedBy, why string) {
	r.Rollout.Outcome, r.Rollout.Message = spec.RolloutFailed, why
	good, ok := r.Good()
	if !ok {
		return
	}
	r.Rollout.Outcome = spec.RolloutRolledBack
	r.Rollback = record.Rollback{From: r.Generation, To: good.Generation, By: by, Why: why, Since: w.now}
}

// wantedOf is the container that a name should be: that of its manifest, or of an earlier one, in the state that the newest asks for.
func wantedOf(d *Desired, r record.Record) spec.Container {
	earlier, ok := r.RolledBack()
	if !ok {
		return d.Container
	}
	c := earlier.Container
	newest := d.Container.Spec
	c.Spec.State, c.Spec.Suspend, c.Spec.DeletionPolicy = newest.State, newest.Suspend, newest.DeletionPolicy
	return c
}

// rollout is how the manifest proves itself, for people.
func rollout(r record.Record) spec.Rollout {
	if r.Generation == 0 {
		return spec.Rollout{}
	}
	shown := spec.Rollout{Generation: r.Generation, InForce: r.Generation, State: r.Rollout.Outcome, Message: r.Rollout.Message, Since: r.Rollout.Accepted}
	if shown.State == "" {
		shown.State = spec.RolloutProgressing
	}
	if back, ok := r.RolledBack(); ok {
		shown.InForce, shown.State, shown.Message, shown.By = back.Generation, spec.RolloutRolledBack, r.Rollback.Why, r.Rollback.By
	}
	return shown
}
