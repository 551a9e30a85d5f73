package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Objects are all containers, by name, and the newest resource version they contain.
func (a *Agent) Objects() ([]spec.Object, uint64) { return a.objects.List() }

// Object is one container; fs.ErrNotExist when no manifest and no instance has that name.
func (a *Agent) Object(name string) (spec.Object, error) { return a.objects.Get(name) }

// Watch gives every change after the resource version since, until ctx ends; 0 means from now on. ErrExpired when
// changes that old are forgotten. The channel closes when the reader was too slow.
func (a *Agent) Watch(ctx context.Context, since uint64) (<-chan Change, error) {
	return a.objects.Watch(ctx, since)
}

// Events are the events kept, oldest first, with an ID above since; of one container unless name is "".
func (a *Agent) Events(name string, since uint64) []Event { return a.events.List(name, since) }

// WatchEvents gives events with an ID above since until ctx ends. The channel closes when the reader was too slow.
func (a *Agent) WatchEvents(ctx context.Context, name string, since uint64) <-chan Event {
	return a.events.Watch(ctx, name, since)
}

// Override sets a state over the manifest's, until the manifest's changes, or has nothing done about the container, in both cases until o.Until at the latest;
// the zero value clears what was set, and a return to an earlier manifest. A pause of one container of a
// group, and the end of it, is one of all its containers that are not stopped: they are frozen together. So it is with Checkpointed. fs.ErrNotExist for an unknown
// name, fs.ErrInvalid for an unknown state.
func (a *Agent) Override(ctx context.Context, name string, o spec.Override) error {
	state := o.State
	switch state {
	case "", spec.StateRunning, spec.StatePaused, spec.StateStopped, spec.StateCheckpointed:
	default:
		return fmt.Errorf("no state %q: %w", state, fs.ErrInvalid)
	}
	object, err := a.Object(name)
	if err != nil {
		return err
	}
	names := []string{name}
	if object.Spec.Group != "" && (slices.Contains(togetherStates, state) || slices.Contains(togetherStates, inForce(object))) {
		names = a.frozenWith(object)
	}
	if object.Spec.Group != "" && o.IsZero() && object.Status.Rollout.State == spec.RolloutRolledBack {
		names = a.members(object.Spec.Group) // one alone would return again
	}
	o.Since = now()
	// No pass before all is said: it would undo for one what was done for all.
	for _, name := range names {
		defer a.queue.Add(name)
		if err := a.override(ctx, name, o); err != nil {
			return err
		}
	}
	return nil
}

// togetherStates are those that a container of a group is in with all others.
var togetherStates = []spec.State{spec.StatePaused, spec.StateCheckpointed}

func (a *Agent) override(ctx context.Context, name string, o spec.Override) error {
	event := Event{Name: name, Reason: "Overridden", Message: fmt.Sprintf("state is %s by hand%s", o.State, untilText(o))}
	err := a.change(ctx, name, func(n *entry) error {
		switch {
		case o.IsZero():
			since := o.Since
			o = spec.Override{}
			redo(&n.record, since)
			event = Event{Name: name, Reason: "OverrideCleared"}
		case o.Suspended:
			event = Event{Name: name, Reason: ReasonSuspended, Message: "by hand" + untilText(o)}
		}
		n.record.Override = o
		return nil
	})
	if err == nil {
		a.tell(event)
	}
	return err
}

// frozenWith are the names of a container and of those of its group that are not to be stopped.
func (a *Agent) frozenWith(object spec.Object) []string {
	a.mu.Lock()
	group := a.index.members.of(object.Spec.Group)
	a.mu.Unlock()
	return append([]string{object.Metadata.Name}, slices.DeleteFunc(group, func(name string) bool {
		o, err := a.objects.Get(name)
		return err != nil || name == object.Metadata.Name || inForce(o) == spec.StateStopped
	})...)
}

// inForce is the state that a container should have: what somebody set by hand, else what its manifest says.
func inForce(o spec.Object) spec.State {
	return cmp.Or(o.Status.Override.State, state(spec.Container{Spec: o.Spec}))
}

// Restart ends the process, if there is one, and starts it anew in the same instance. It also tries anew what was given up.
func (a *Agent) Restart(ctx context.Context, name string) error {
	return a.byHand(ctx, name, func(n *entry) error {
		n.failure = Failure{}
		n.record.Job.Completed = "" // a job that has completed, in another boot perhaps, runs once more
		in, ok, err := a.newest(ctx, n)
		if err != nil || !ok {
			return err
		}
		n.record.Restart = runOf(in)
		a.tell(Event{Name: name, Reason: "RestartRequested"})
		return nil
	})
}

// Kill sends a signal to process 1; SIGKILL goes to all processes. fs.ErrNotExist when there is no process.
func (a *Agent) Kill(ctx context.Context, name, signal string) error {
	if _, ok := spec.Signals[signal]; !ok {
		return fmt.Errorf("no signal %q: %w", signal, fs.ErrInvalid)
	}
	return a.byHand(ctx, name, func(n *entry) error {
		in, ok, err := a.newest(ctx, n)
		switch {
		case err != nil:
			return err
		case !ok || !live(in):
			return refuse(fs.ErrNotExist, "container %q has no process", name)
		}
		a.tell(Event{Name: name, Reason: "Killing", Message: signal + " by hand"})
		return a.Node.Kill(ctx, name, in.ID, signal)
	})
}

// byHand does something to a name that is known, in its turn, saves its record and hands it out.
func (a *Agent) byHand(ctx context.Context, id string, do func(*entry) error) error {
	if err := a.change(ctx, id, do); err != nil {
		return err
	}
	a.queue.Add(id)
	return nil
}

// change does something to a name that is known, in its turn, and saves its record.
func (a *Agent) change(ctx context.Context, id string, do func(*entry) error) error {
	if _, err := a.Object(id); err != nil {
		return err
	}
	n, err := a.enter(ctx, id)
	if err != nil {
		return err
	}
	defer n.leave()
	if n.hold != "" {
		return fmt.Errorf("container %q is left alone: %s", id, n.hold)
	}
	before := n.record
	if err := do(n); err != nil {
		return err
	}
	if err := a.save(n); err != nil {
		n.record = before
		return err
	}
	return nil
}

// newest is the instance a person means.
func (a *Agent) newest(ctx context.Context, n *entry) (in spec.Instance, ok bool, err error) {
	observed, err := a.Node.ObserveOne(ctx, n.id)
	if err != nil || len(observed) == 0 {
		return in, false, err
	}
	w := world{Subject: Subject{Observed: observed}}
	return w.shown(), true, nil
}
