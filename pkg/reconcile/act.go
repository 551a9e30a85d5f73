package reconcile

import (
	"context"
	"errors"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// writeAhead are the verbs that are written down before they are done.
var writeAhead = map[string]bool{VerbCreate: true, VerbDestroy: true, VerbRestore: true}

// ahead tells whether an action is written down before it is done: also what ends a run in an image, and a start that the record would otherwise
// take for something else than it is.
func ahead(action Action, r record.Record) bool {
	return writeAhead[action.Verb] || !action.Unhealthy.IsZero() || !action.Tick.Time.IsZero() || action.Verb == VerbCheckpoint && action.Options.Stop ||
		action.Verb == VerbStart && (action.Origin.Rung != "" || r.Intent.Origin.Rung != "")
}

// act carries out one action; it tells whether to look again at once.
func (a *Agent) act(ctx context.Context, n *entry, action Action) bool {
	first := ahead(action, n.record)
	if !action.Tick.Time.IsZero() {
		n.record.Job.Tick = action.Tick
	}
	if !action.Unhealthy.IsZero() {
		n.record.Unhealthy = action.Unhealthy
	} else if first {
		n.record.Intent = record.Intent{Verb: action.Verb, Instance: action.Instance, Cause: action.Cause, Since: now(), Origin: action.Origin}
		n.record.Images.Climbing = n.record.Images.Climbing || action.Verb == VerbRestore
	}
	if err := a.save(n); err != nil && first {
		a.fail(n, action.Verb, err)
		return false
	}
	began := time.Now()
	image, err := a.do(ctx, action)
	switch {
	case action.Verb == VerbPostStart && !errors.Is(err, spec.ErrBusy):
		startHandled(&n.record, err)
		if err != nil {
			a.tellFailed(n, action.Verb, err)
			return true
		}
	case action.Verb == VerbCheckpoint:
		noteTaken(&n.record, err, now())
	case action.Verb == VerbRestore && (err == nil || !restoreAgain(n.failure, err)):
		noteRestored(&n.record, action.Image, err)
	}
	if err != nil && action.Verb == VerbRepair {
		return a.notRepaired(n, action, err)
	}
	if err != nil {
		return a.failed(n, action, err)
	}
	log := a.Log
	if action.Verb == VerbStart && !loud(n.record.Runs.Streak) {
		log = log.V(1)
	}
	log.Info("done", "name", n.id, "verb", action.Verb, "instance", action.Instance, "cause", action.Cause, "took", time.Since(began))
	if n.failure.Verb == action.Verb {
		n.failure = Failure{}
	}
	if action.Repair {
		n.record.Drift = record.Drift{Count: n.record.Drift.Count + 1, Last: now(), Message: action.Cause}
	}
	a.lookAfter(n, action)
	a.tellDone(action, image)
	return true
}

// failed notes an action that failed; it tells whether to look again at once, because the plan has something else to do by now.
func (a *Agent) failed(n *entry, action Action, err error) (again bool) {
	down := !a.goingDown().IsZero()
	switch {
	case action.Verb == VerbCheckpoint && action.Scheduled:
		a.tellFailed(n, action.Verb, err)
		return true
	case action.Verb == VerbRestore && !restoreAgain(n.failure, err):
		a.tellFailed(n, action.Verb, err)
		n.failure = Failure{}
		return true
	}
	a.fail(n, action.Verb, err)
	return action.Verb == VerbUpdate || action.Verb == VerbCreate || action.Verb == VerbCheckpoint && (down || n.record.Removed)
}

// fail notes a failed action, shows it and tries again later.
func (a *Agent) fail(n *entry, verb string, err error) {
	n.failure = n.failure.after(verb, err, now())
	a.tellFailed(n, verb, err)
	a.queue.Wake(n.id, n.failure.Retry)
	if verb == verbPlan {
		return
	}
	desired, _ := a.wants(n)
	a.mu.Lock()
	observed := n.observed
	n.retrying = !n.failure.stalled()
	a.mu.Unlock()
	d := Plan(a.subject(n, desired, observed), now())
	a.show(n, desired, observed, d)
	a.queue.Wake(n.id, earlier(n.failure.Retry, d.Wake))
}
