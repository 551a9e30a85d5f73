package reconcile

import (
	"context"
	"errors"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// actInTurn is act in the turns that an action needs beside that of its name: an image takes long, and is one of all of a group.
func (a *Agent) actInTurn(ctx context.Context, n *entry, action Action) (again bool) {
	if n.together {
		return a.act(ctx, n, action)
	}
	if action.Scheduled { // others have to be started meanwhile
		if !a.saving.enter(n.id) {
			return false
		}
		defer func() {
			for _, waiting := range a.saving.leave() {
				a.queue.Add(waiting)
			}
		}()
	}
	if group := n.record.Container.Spec.Group; action.Verb == VerbCheckpoint && group != "" {
		return a.actTogether(ctx, n, group)
	}
	return a.act(ctx, n, action)
}

// actTogether is a round in the turn of a group.
func (a *Agent) actTogether(ctx context.Context, n *entry, group string) (again bool) {
	a.pulse.allow(pulsePass+n.id, "", turnPatience)
	leave, err := a.groups.Enter(ctx, group)
	if err != nil {
		return false
	}
	defer leave()
	if a.stopsFirst(n, group) {
		a.queue.Wake(n.id, now().Add(firstRetry))
		return false
	}
	n.together = true
	defer func() { n.together = false }()
	return a.round(ctx, n)
}

// writeAhead are the verbs that are written down before they are done.
var writeAhead = map[string]bool{VerbCreate: true, VerbDestroy: true, VerbRestore: true}

// ahead tells whether an action is written down before it is done: also what ends a run in an image, and a start that the record would otherwise
// take for something else than it is.
func ahead(action Action, r record.Record) bool {
	return writeAhead[action.Verb] || !action.Unhealthy.IsZero() || !action.Tick.Time.IsZero() || action.Verb == VerbCheckpoint && action.Options.Stop ||
		action.Verb == VerbStart && (action.Origin.Rung != "" || r.Intent.Origin.Rung != "")
}

// act carries out one action; it tells whether to look again at once.
func (a *Agent) act(ctx context.Context, n *entry, action Action) (again bool) {
	first := ahead(action, n.record)
	noteAhead(&n.record, action, first)
	if err := a.save(n); err != nil && first {
		a.fail(n, action.Verb, err)
		return false
	}
	began := time.Now()
	a.pulse.allow(pulsePass+n.id, action.Verb, patience+deadlines[action.Verb]+action.Handler.Lasts())
	image, err := a.do(ctx, action)
	noteDone(&n.record, action, n.failure, err)
	if err != nil {
		return a.failed(n, action, err)
	}
	a.done(n, action, image, time.Since(began))
	return true
}

// noteAhead writes down what is about to be done: which run it ends or begins, and if it is written ahead, the intent.
func noteAhead(r *record.Record, action Action, first bool) {
	if !action.Tick.Time.IsZero() {
		r.Job.Tick = action.Tick
	}
	if !action.Unhealthy.IsZero() {
		r.Unhealthy = action.Unhealthy
	} else if first {
		r.Intent = record.Intent{Verb: action.Verb, Instance: action.Instance, Cause: action.Cause, Since: now(), Origin: action.Origin}
		r.Images.Climbing = r.Images.Climbing || action.Verb == VerbRestore
	}
}

// noteDone writes down what came of an action, where the next plan has to know; before is what failed before it.
func noteDone(r *record.Record, action Action, before Failure, err error) {
	switch {
	case action.Verb == VerbPostStart && !errors.Is(err, spec.ErrBusy):
		startHandled(r, err)
	case action.Verb == VerbCheckpoint:
		noteTaken(r, err, now())
	case action.Verb == VerbRestore && (err == nil || !restoreAgain(before, err)):
		noteRestored(r, action.Image, err)
	case action.Repair && err == nil:
		r.Drift = record.Drift{Count: r.Drift.Count + 1, Last: now(), Message: action.Cause}
	}
}

// done is the end of an action that succeeded.
func (a *Agent) done(n *entry, action Action, image spec.Image, took time.Duration) {
	n.outcome = OutcomeActed
	log := a.Log
	if action.Verb == VerbStart && !loud(n.record.Runs.Streak) {
		log = log.V(1)
	}
	log.Info("done", "name", n.id, "verb", action.Verb, "instance", action.Instance, "cause", action.Cause, "took", took)
	if n.failure.Verb == action.Verb {
		n.failure = Failure{}
	}
	a.lookAfter(n, action)
	a.tellDone(action, image)
}

// failed notes an action that failed; it tells whether to look again at once, because the plan has something else to do by now.
func (a *Agent) failed(n *entry, action Action, err error) (again bool) {
	switch {
	case action.Verb == VerbRepair:
		return a.notRepaired(n, action, err)
	case action.Verb == VerbPostStart && !errors.Is(err, spec.ErrBusy), action.Scheduled:
		a.tellFailed(n, action.Verb, err)
		return true
	case action.Verb == VerbRestore && !restoreAgain(n.failure, err):
		a.tellFailed(n, action.Verb, err)
		n.failure = Failure{}
		return true
	}
	a.fail(n, action.Verb, err)
	switch action.Verb {
	case VerbUpdate, VerbCreate:
		return true
	case VerbCheckpoint: // which leaves time for the stop alone
		return n.record.Removed || !a.goingDown().IsZero()
	}
	return false
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
