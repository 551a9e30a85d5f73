package reconcile

import (
	"context"
	"fmt"
	"runtime/debug"
	"runtime/trace"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// What can fail beside the verbs of a node.
const (
	verbPlan    = "Plan"
	verbObserve = "Observe"
	verbForget  = "Forget"
	verbImages  = "Images"
)

// maxRounds is how often a pass looks and acts before others have their turn: more than any plan takes. A name that needs more gets
// nowhere, and waits ever longer between passes.
const maxRounds = 12

// pass looks at one name and does what is to be done, one action after another, looking again after each.
func (a *Agent) pass(ctx context.Context, id string) {
	a.pulse.allow(pulsePass+id, "", turnPatience)
	defer a.pulse.end(pulsePass + id)
	n, err := a.enter(ctx, id)
	if err != nil {
		return
	}
	defer n.leave()
	if ctx.Err() != nil {
		return
	}
	a.keepTime()
	a.mu.Lock()
	move(&n.record, n.moved)
	n.moved = 0
	a.mu.Unlock()
	if wait := time.Until(n.notBefore); wait > 0 && wait <= lastRetry && a.goingDown().IsZero() {
		a.queue.Wake(id, n.notBefore)
		return
	}
	if trace.IsEnabled() {
		of, task := trace.NewTask(ctx, "pass")
		ctx = of
		trace.Log(ctx, "name", id)
		defer task.End()
	}
	began := time.Now()
	n.outcome = OutcomeIdle
	defer func() { a.Meter.Passed(n.outcome, time.Since(began)) }()
	for range maxRounds {
		if !a.round(ctx, n) || ctx.Err() != nil {
			return
		}
	}
	a.pause(n)
}

// pause makes a name wait that gets nowhere.
func (a *Agent) pause(n *entry) {
	n.notBefore = now().Add(doubled(firstRetry, n.restless, lastRetry))
	n.restless++
	n.outcome = OutcomeRestless
	a.tell(Event{Name: n.id, Warning: true, Reason: "Restless", Message: "its actions do not lead to what its manifest says"})
	a.queue.Wake(n.id, n.notBefore)
}

// round is one look and at most one action; it tells whether to look again at once.
func (a *Agent) round(ctx context.Context, n *entry) (again bool) {
	verb := verbPlan
	a.pulse.allow(pulsePass+n.id, "", patience)
	defer a.survive(n, &verb, &again)
	desired, removed := a.wants(n)
	before := n.record
	if n.accept(desired, removed) {
		a.forgetDenied(&n.record)
		a.tellAccepted(n, before)
		if n.converging = (time.Time{}); desired != nil {
			n.converging = desired.Since
		}
	}
	observed, err := a.Node.ObserveOne(ctx, n.id)
	if err != nil {
		a.fail(n, verbObserve, fmt.Errorf("cannot observe %q: %w", n.id, err))
		return false
	}
	if n.failure.Verb == verbObserve {
		n.failure = Failure{}
	}
	d := a.decide(ctx, n, desired, observed)
	if len(d.Actions) == 0 {
		a.rest(ctx, n, desired, observed, d)
		return false
	}
	verb = d.Actions[0].Verb
	return a.actInTurn(ctx, n, d.Actions[0])
}

// survive makes a panic a failure of the name, not of the agent. It is to be deferred.
func (a *Agent) survive(n *entry, verb *string, again *bool) {
	if p := recover(); p != nil {
		*again = false
		a.Log.Error(fmt.Errorf("panic: %v", p), "pass failed", "name", n.id, "stack", string(debug.Stack()))
		a.fail(n, *verb, fmt.Errorf("panic: %v", p))
	}
}

// decide plans from what was observed, tells what is new and shows what comes of it.
func (a *Agent) decide(ctx context.Context, n *entry, desired *Desired, observed []spec.Instance) Decision {
	before := n.record
	a.list(ctx, n, desired, observed)
	a.ask(n, desired, observed)
	d := Plan(a.subject(n, desired, observed), now())
	n.record = d.Record
	a.tellExit(n, before)
	a.tellRollout(n, before)
	a.tellHealth(n, before.Health)
	if !before.Override.IsZero() && n.record.Override.IsZero() {
		a.tell(Event{Name: n.id, Reason: "OverrideExpired"})
	}
	a.show(n, desired, observed, d)
	return d
}

// subject is what is known of a name, with instances as they were seen.
func (a *Agent) subject(n *entry, desired *Desired, observed []spec.Instance) Subject {
	n.order = a.order(n, desired)
	a.mu.Lock()
	defer a.mu.Unlock()
	return Subject{
		Name: n.id, Desired: desired, Observed: observed, Record: n.record, Failure: n.failure,
		Images: n.images, Unlisted: n.unlisted, Unable: n.unable, Order: n.order, Deep: n.deep, Down: a.down,
		Configs: a.configsOf(n, desired), Frozen: a.frozen[n.group] > 0,
	}
}

// rest is the end of a pass that has nothing to do.
func (a *Agent) rest(ctx context.Context, n *entry, desired *Desired, observed []spec.Instance, d Decision) {
	if !d.Held && !d.Waiting {
		n.failure = Failure{}
		n.restless = 0
	}
	switch {
	case d.Orphaned:
		a.orphan(n)
		return
	case desired == nil && len(observed) == 0:
		a.forget(ctx, n)
		return
	}
	n.rested(observed)
	wake := d.Wake
	if err := a.save(n); err != nil {
		wake = earlier(wake, now().Add(lastRetry))
	}
	a.queue.Wake(n.id, wake)
}
