package reconcile

import (
	"context"
	"errors"
	"hash/fnv"
	"io/fs"
	"slices"
	"sort"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A deep look compares one run with all that the kernel lets one read back. It costs more than a pass's look, so it comes once in Config.DeepLook, and soon after
// something that hints at a hand: a repair, a look that was not in time. Looks come in rounds, see pace, most of them with those of relist.
const (
	soon         = time.Second      // after a hint
	deepDeadline = 10 * time.Second // of one look
)

// lookDeep does what deep looks are due, until ctx ends.
func (a *Agent) lookDeep(ctx context.Context) {
	for p := (pace{}); ; {
		p.every = a.deepEvery()
		a.awaitDeep(ctx, a.nextDeep(p))
		if ctx.Err() != nil {
			return
		}
		began, looks := time.Now(), 0
		for _, id := range a.deepRound(p, began) {
			a.deep(ctx, id)
			if looks++; p.ends(began, time.Now()) || ctx.Err() != nil {
				break
			}
		}
		p.note(began, time.Now(), looks)
	}
}

// awaitDeep waits until a time, zero for never, a hint or the end of ctx.
func (a *Agent) awaitDeep(ctx context.Context, due time.Time) {
	var came <-chan time.Time
	if !due.IsZero() {
		timer := time.NewTimer(time.Until(due))
		defer timer.Stop()
		came = timer.C
	}
	select {
	case <-came:
	case <-a.hurry:
	case <-ctx.Done():
	}
}

// nextDeep is when the next deep look comes, zero for never.
func (a *Agent) nextDeep(p pace) (next time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range a.names {
		if n.deepDue.IsZero() {
			continue
		}
		if at := p.at(n.deepDue, n.hurried); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// deepRound are the names of a round that begins now, those first that are due first.
func (a *Agent) deepRound(p pace, now time.Time) (ids []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, n := range a.names {
		if !n.deepDue.IsZero() && p.takes(n.deepDue, n.hurried, now) {
			ids = append(ids, id)
		}
	}
	sort.Slice(ids, func(i, j int) bool { return a.names[ids[i]].deepDue.Before(a.names[ids[j]].deepDue) })
	return ids
}

// dueDeep sets when a name is looked at first, spread over the interval by its name, or that it is not. The caller holds mu.
func (a *Agent) dueDeep(n *entry) {
	switch runs := slices.ContainsFunc(n.observed, live); {
	case !runs:
		n.deepDue = time.Time{}
	case n.deepDue.IsZero() && a.DeepLook > 0:
		hash := fnv.New32a()
		hash.Write([]byte(n.id))
		n.hurried = false
		a.setDeep(n, a.DeepLook/2+a.DeepLook/2*time.Duration(hash.Sum32()>>16)/(1<<16))
	}
}

// setDeep sets when a name is looked at. The caller holds mu.
func (a *Agent) setDeep(n *entry, in time.Duration) {
	n.deepDue = time.Now().Add(in)
	a.wakeDeep()
}

// wakeDeep has deep looks come that may come now: something is due earlier than it was, or the agent is at work anyway.
func (a *Agent) wakeDeep() {
	select {
	case a.hurry <- struct{}{}:
	default:
	}
}

// hurryDeep has a name looked at soon, if it is looked at at all.
func (a *Agent) hurryDeep(n *entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := time.Now().Add(soon); n.deepDue.After(at) {
		n.hurried = true
		a.setDeep(n, soon)
	}
}

// deep looks at one name, unless somebody is at work on it: then a little later.
func (a *Agent) deep(ctx context.Context, id string) {
	a.mu.Lock()
	n := a.names[id]
	if n == nil || a.DeepLook <= 0 {
		a.mu.Unlock()
		return
	}
	select {
	case n.turn <- struct{}{}:
		n.deepDue, n.hurried = time.Now().Add(a.DeepLook), false
	default:
		n.deepDue, n.hurried = time.Now().Add(soon), true
		a.mu.Unlock()
		return
	}
	observed, busy := n.observed, a.frozen[n.record.Container.Spec.Group] > 0
	a.mu.Unlock()
	defer n.leave()
	desired, _ := a.wants(n)
	in, ok := deepOf(desired, n.record, observed)
	if !ok || busy || !a.goingDown().IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, deepDeadline)
	defer cancel()
	drifts, err := a.Node.Drift(ctx, id, in.ID)
	if err != nil {
		if !errors.Is(err, spec.ErrBusy) && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
			a.Log.Error(err, "deep look failed", "name", id)
		}
		return
	}
	a.noteDeep(n, in, drifts)
}

// Drift looks deep into what runs of a name now, whatever is due, and does nothing about it. None runs: none. fs.ErrNotExist for an unknown name.
func (a *Agent) Drift(ctx context.Context, name string) ([]spec.Drift, error) {
	return a.drift(ctx, name, func(*entry, spec.Instance, []spec.Drift) {})
}

// RepairDrift is Drift, and has done about what it finds what is to be done.
func (a *Agent) RepairDrift(ctx context.Context, name string) ([]spec.Drift, error) {
	return a.drift(ctx, name, func(n *entry, in spec.Instance, drifts []spec.Drift) {
		a.noteDeep(n, in, drifts)
		if len(limitDrifts(in)) > 0 {
			a.queue.Add(name)
		}
	})
}

// drift gives what differs of a name, and before, to note, what a deep look found of an instance.
func (a *Agent) drift(ctx context.Context, name string, note func(*entry, spec.Instance, []spec.Drift)) ([]spec.Drift, error) {
	if _, err := a.Object(name); err != nil {
		return nil, err
	}
	n, err := a.enter(ctx, name)
	if err != nil {
		return nil, err
	}
	defer n.leave()
	in, ok, err := a.newest(ctx, n)
	if err != nil || !ok || !live(in) {
		return nil, err
	}
	drifts, err := a.Node.Drift(ctx, name, in.ID)
	if err != nil {
		return nil, err
	}
	note(n, in, drifts)
	return append(limitDrifts(in), drifts...), nil
}

// deepOf is the run of a name to look at: none where nothing would be done about what is found.
func deepOf(desired *Desired, r record.Record, observed []spec.Instance) (in spec.Instance, ok bool) {
	w := world{Subject: Subject{Desired: desired, Record: r, Observed: observed}}
	if desired == nil || desired.Hold != "" {
		return in, false
	}
	w.wanted = wantedOf(desired, r)
	in = w.shown()
	return in, live(in) && in.Stopping.IsZero() && !w.suspended()
}

// noteDeep notes what a look found, and hands the name out if that is news.
func (a *Agent) noteDeep(n *entry, in spec.Instance, drifts []spec.Drift) {
	if !n.deep.of(in) {
		n.deep = Deep{Instance: in.ID, Starts: in.Starts}
	}
	before, found := n.deep.Drifts, n.deep.Found
	n.deep.Drifts, n.deep.Found = drifts, drifts
	for _, d := range drifts {
		if !slices.Contains(found, d) {
			a.tell(Event{Name: n.id, Warning: true, Reason: "DriftDetected", Message: d.String()})
		}
	}
	for _, d := range before {
		if !slices.ContainsFunc(drifts, func(now spec.Drift) bool { return now.Field == d.Field }) {
			a.tell(Event{Name: n.id, Reason: "DriftEnded", Message: d.Field + " is as it should be"})
		}
	}
	if !slices.Equal(before, drifts) {
		a.queue.Add(n.id)
	}
}

// lookAfter notes what an action means for what was found: what was put back is not there any more, until another look says so.
func (a *Agent) lookAfter(n *entry, action Action) {
	if action.Verb == VerbRepair {
		n.deep.Drifts = n.deep.without(action.Fields)
	}
	if action.Repair || action.Verb == VerbUpdate {
		a.hurryDeep(n)
	}
}

// notRepaired notes a repair that failed. It is tried again as others are that come too often; what runs is not stopped for it, and not held up.
func (a *Agent) notRepaired(n *entry, action Action, err error) (again bool) {
	n.record.Drift.Failures++
	n.record.Drift.Last, n.record.Drift.Message = now(), action.Cause
	a.tellFailed(n, action.Verb, err)
	return true
}

// rested notes the phase in which a pass leaves the run it is about.
func (n *entry) rested(observed []spec.Instance) {
	w := world{Subject: Subject{Observed: observed}}
	in := w.shown()
	if !n.deep.of(in) {
		n.deep = Deep{Instance: in.ID, Starts: in.Starts}
	}
	n.deep.Rested = in.Phase
}
