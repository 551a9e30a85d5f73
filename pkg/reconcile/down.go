package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Shutdown brings the containers down because the node goes down, while Run runs: those whose manifest says checkpoint.onShutdown, and those that
// should be Checkpointed, into images, as many at once as there are workers; the others by their own stop, as those whose image could not be taken in
// the time that ctx leaves. From then on nothing is started, made or removed, also afterwards. It returns when all are down, or with ctx's error and the
// names of the others.
func (a *Agent) Shutdown(ctx context.Context) error {
	down := Down{Since: now()}
	if by, ok := ctx.Deadline(); ok {
		down.By = by.Round(0).UTC()
	}
	a.mu.Lock()
	a.down = down
	a.mu.Unlock()
	a.tell(Event{Reason: ReasonGoingDown})
	return a.bringDown(ctx)
}

// Drain brings the containers down and keeps them so, over restarts of the agent, until Undrain: those whose manifest says checkpoint.onShutdown, and with
// checkpoint all that can, in images, from which they go on afterwards. It returns when all are down, or with ctx's error and the names of the others; it
// is in force then all the same.
func (a *Agent) Drain(ctx context.Context, checkpoint bool) error {
	d := record.Drain{Since: now(), Checkpoint: checkpoint}
	if err := a.Store.SaveDrain(d); err != nil {
		return err
	}
	a.mu.Lock()
	a.down = drained(d)
	a.mu.Unlock()
	a.tell(Event{Reason: ReasonDrained})
	return a.bringDown(ctx)
}

// Undrain lets the manifests decide again. On a node that is not drained it does nothing; fs.ErrInvalid on one that goes down.
func (a *Agent) Undrain(context.Context) error {
	switch down := a.goingDown(); {
	case down.IsZero():
		return nil
	case !down.Drained:
		return refuse(fs.ErrInvalid, "the node goes down")
	}
	if err := a.Store.SaveDrain(record.Drain{}); err != nil {
		return err
	}
	a.mu.Lock()
	a.down = Down{}
	a.mu.Unlock()
	a.tell(Event{Reason: "Undrained"})
	a.enqueueAll()
	return nil
}

func drained(d record.Drain) Down {
	return Down{Since: d.Since, Drained: !d.IsZero(), Checkpoint: d.Checkpoint}
}

// bringDown waits until all that the agent is responsible for is down.
func (a *Agent) bringDown(ctx context.Context) error {
	a.enqueueDown()
	err := a.awaitDown(ctx)
	if up := a.up(); err != nil && len(up) > 0 {
		err = errors.Join(err, fmt.Errorf("still up: %s", strings.Join(up, ", ")))
	}
	return err
}

// awaitDown waits until nothing is up, and a look at the whole node shows nothing else.
func (a *Agent) awaitDown(ctx context.Context) error {
	select {
	case <-a.synced:
	case <-ctx.Done():
		return ctx.Err()
	}
	down := func() bool { return a.queue.Idle() && len(a.up()) == 0 }
	for {
		if err := a.await(ctx, down); err != nil {
			return err
		}
		if _, err := a.observe(ctx); err == nil && down() {
			return nil
		}
		if !sleep(ctx, firstRetry) {
			return ctx.Err()
		}
	}
}

// enqueueDown hands out every name, those first that are only asked to stop: that takes no time, and they need theirs.
func (a *Agent) enqueueDown() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, images := range []bool{false, true} {
		for id, n := range a.names {
			if images == (n.desired != nil && n.desired.Container.Spec.Checkpoint.OnShutdown) {
				a.queue.Add(id)
			}
		}
	}
}

// stopsFirst tells whether another one of a group has still to be asked to stop because the node goes down: an image of the group would end it too.
func (a *Agent) stopsFirst(n *entry, group string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down.IsZero() {
		return false
	}
	for _, id := range a.membersOf(group) {
		other := a.names[id]
		if d := other.desired; other == n || d.Hold != "" || d.Container.Spec.Checkpoint.OnShutdown || state(d.Container) == spec.StateCheckpointed {
			continue
		}
		if slices.ContainsFunc(other.observed, func(in spec.Instance) bool { return live(in) && in.Stopping.IsZero() }) {
			return true
		}
	}
	return false
}

func (a *Agent) goingDown() Down {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.down
}

// up are the names of which something runs, as far as their latest passes saw, sorted; those that the agent leaves alone are not among them.
func (a *Agent) up() (names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, n := range a.names {
		ours := n.hold == "" && (n.removed || n.desired != nil && n.desired.Hold == "")
		if ours && (!n.far.looked || slices.ContainsFunc(n.observed, live)) {
			names = append(names, id)
		}
	}
	slices.Sort(names)
	return names
}
