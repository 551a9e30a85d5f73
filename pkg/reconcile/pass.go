package reconcile

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
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
	a.pulse.allow(pulsePass+id, turnPatience)
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
	for range maxRounds {
		if !a.round(ctx, n) || ctx.Err() != nil {
			return
		}
	}
	n.notBefore = now().Add(doubled(firstRetry, n.restless, lastRetry))
	n.restless++
	a.tell(Event{Name: id, Warning: true, Reason: "Restless", Message: "its actions do not lead to what its manifest says"})
	a.queue.Wake(id, n.notBefore)
}

// round is one look and at most one action; it tells whether to look again at once. A panic is a failure of the name, not of the agent.
func (a *Agent) round(ctx context.Context, n *entry) (again bool) {
	verb := verbPlan
	a.pulse.allow(pulsePass+n.id, patience)
	defer func() {
		if p := recover(); p != nil {
			again = false
			a.Log.Error(fmt.Errorf("panic: %v", p), "pass failed", "name", n.id, "stack", string(debug.Stack()))
			a.fail(n, verb, fmt.Errorf("panic: %v", p))
		}
	}()
	desired, removed := a.wants(n)
	before := n.record
	if n.accept(desired, removed) {
		a.tellAccepted(n, before)
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
	if d.Actions[0].Scheduled && !n.together { // it takes long, and others have to be started meanwhile
		if !a.saving.enter(n.id) {
			return false
		}
		defer func() {
			for _, waiting := range a.saving.leave() {
				a.queue.Add(waiting)
			}
		}()
	}
	if group := n.record.Container.Spec.Group; verb == VerbCheckpoint && group != "" && !n.together {
		return a.actTogether(ctx, n, group)
	}
	return a.act(ctx, n, d.Actions[0])
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

// actTogether is a round in the turn of a group.
func (a *Agent) actTogether(ctx context.Context, n *entry, group string) (again bool) {
	a.pulse.allow(pulsePass+n.id, turnPatience)
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

// subject is what is known of a name, with instances as they were seen.
func (a *Agent) subject(n *entry, desired *Desired, observed []spec.Instance) Subject {
	order := a.order(n, desired)
	n.order = order
	a.mu.Lock()
	defer a.mu.Unlock()
	return Subject{
		Name: n.id, Desired: desired, Observed: observed, Record: n.record, Failure: n.failure,
		Images: n.images, Unlisted: n.unlisted, Unable: n.unable, Order: order, Deep: n.deep, Down: a.down,
		Configs: a.configsOf(n, desired), Frozen: a.frozen[n.group()] > 0,
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

// forget drops a name of which no instance is left. What belongs to the name itself, a layer on disk say, may still be there when its
// instances ended with an earlier boot, or for a successor that never came: the node is asked to destroy that as well.
func (a *Agent) forget(ctx context.Context, n *entry) {
	if !reflect.DeepEqual(n.saved, record.Record{}) {
		_, err := a.do(ctx, Action{Verb: VerbDestroy, Name: n.id, Instance: max(n.record.NextInstance, 1)})
		if err == nil {
			err = a.Store.Delete(n.id)
		}
		if err != nil {
			a.fail(n, verbForget, err)
			return
		}
	}
	a.drop(n)
}

// orphan drops a name, and leaves to the next look at the node what is there of it.
func (a *Agent) orphan(n *entry) {
	if err := a.Store.Delete(n.id); err != nil {
		a.fail(n, verbForget, err)
		return
	}
	a.tell(Event{Name: n.id, Reason: "Orphaned", Message: "spec.deletionPolicy is Orphan"})
	a.drop(n)
}

// drop takes a name out of everything the agent knows.
func (a *Agent) drop(n *entry) {
	n.saved, n.record, n.failure = record.Record{}, record.Record{Name: n.id}, Failure{}
	a.objects.Delete(n.id)
	a.prober.Remove(n.id)
	a.queue.Wake(n.id, time.Time{})
	a.neighbours(n)
	a.mu.Lock()
	defer a.mu.Unlock()
	if n.desired == nil {
		a.dependents.note(n.id, n.left, nil)
		delete(a.names, n.id)
	}
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
	a.pulse.allow(pulsePass+n.id, patience+deadlines[action.Verb]+action.Handler.Lasts())
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

// deadlines bound each verb: a stuck one holds up its own name only, and not for ever.
var deadlines = map[string]time.Duration{
	VerbCreate: time.Minute, VerbStart: time.Minute, VerbDestroy: time.Minute,
	VerbPostStart: 10 * time.Second,
	VerbStop:      10 * time.Second, VerbKill: 10 * time.Second,
	VerbUpdate: 10 * time.Second, VerbPause: 10 * time.Second, VerbResume: 10 * time.Second, VerbRepair: 10 * time.Second,
	// Much memory takes its time; how long the container may stand still meanwhile is for its node to watch.
	VerbCheckpoint: 20 * time.Minute, VerbRestore: 20 * time.Minute,
	VerbConfigure: 10 * time.Second, VerbSignal: 10 * time.Second,
}

// do asks the node for a verb. An action begun is ended even when the agent is asked to end. What is taken is an image.
func (a *Agent) do(ctx context.Context, action Action) (taken spec.Image, err error) {
	return a.doWhile(context.WithoutCancel(ctx), action)
}

// doWhile is do for as long as somebody wants it.
func (a *Agent) doWhile(ctx context.Context, action Action) (taken spec.Image, err error) {
	ctx, cancel := context.WithDeadline(ctx, earlier(time.Now().Add(deadlines[action.Verb]+action.Handler.Lasts()), action.Until))
	defer cancel()
	defer a.quiet(action)()
	if action.Verb == VerbCheckpoint {
		return a.Node.Checkpoint(ctx, action.Name, action.Instance, action.Options)
	}
	return taken, a.doQuietly(ctx, action)
}

func (a *Agent) doQuietly(ctx context.Context, action Action) error {
	name, id := action.Name, action.Instance
	switch action.Verb {
	case VerbConfigure:
		return a.Node.Configure(ctx, name, id, action.Configs)
	case VerbSignal:
		return a.signal(ctx, action)
	case VerbRestore:
		return a.Node.Restore(ctx, name, id, action.Image)
	case VerbCreate:
		return a.Node.Create(ctx, action.Container, id, action.Defaults)
	case VerbStart:
		return a.Node.Start(ctx, name, id)
	case VerbStop:
		a.preStop(ctx, action)
		return a.Node.Stop(ctx, name, id, action.Signal, action.Timeout)
	case VerbPostStart:
		return a.handle(ctx, name, id, action.Handler)
	case VerbKill:
		return a.Node.Kill(ctx, name, id, action.Signal)
	case VerbUpdate:
		return a.Node.Update(ctx, action.Container, id)
	case VerbRepair:
		return a.Node.Repair(ctx, name, id, action.Fields...)
	case VerbPause:
		return a.Node.Pause(ctx, name, id)
	case VerbResume:
		return a.Node.Resume(ctx, name, id)
	case VerbDestroy:
		return a.Node.Destroy(ctx, name, id, action.Keep)
	}
	return fmt.Errorf("unknown verb %q: %w", action.Verb, errors.ErrUnsupported)
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

// save brings the store up to date.
func (a *Agent) save(n *entry) error {
	if !n.dirty() {
		return nil
	}
	if err := a.Store.Save(n.record); err != nil {
		a.Log.Error(err, "cannot save", "name", n.id)
		a.tell(Event{Name: n.id, Warning: true, Reason: "FailedSave", Message: err.Error()})
		return err
	}
	n.saved = n.record
	return nil
}

// show publishes what a plan says of a name.
func (a *Agent) show(n *entry, desired *Desired, observed []spec.Instance, d Decision) {
	shown, before := farOf(d.Status, observed), n.far
	a.mu.Lock()
	n.observed, n.far, n.override = observed, shown, n.record.Override
	n.looked = n.looked || n.failure.Verb != verbObserve
	n.waiting, n.probing = d.Waiting, undecided(d.Status) || n.order.Soon
	if d.Held {
		n.retrying = !n.failure.stalled()
	} else {
		n.retrying = false
	}
	a.dueDeep(n)
	a.mu.Unlock()
	if shown != before {
		defer a.neighbours(n)
	}
	if desired == nil && len(observed) == 0 {
		return
	}
	c := n.record.Container
	if desired != nil {
		c = desired.Container
	}
	c.Metadata.Name = n.id
	object := spec.Object{
		APIVersion: spec.APIVersion, Kind: spec.KindContainer,
		Metadata: spec.ObjectMetadata{Metadata: c.Metadata, Generation: n.record.Generation},
		Spec:     c.Spec, Status: d.Status,
	}
	a.objects.Put(object, now())
	if n.phase != d.Status.Phase && d.Status.Phase == spec.PhaseBackOff {
		a.tell(Event{Name: n.id, Warning: true, Reason: "BackOff", Message: d.Status.Message})
	}
	n.phase = d.Status.Phase
}
