package simnode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ErrDead is what an agent gets that has been killed: nothing it does has any effect.
var ErrDead = errors.New("the agent is dead")

// Node is one agent's session with a machine.
type Node struct {
	machine *Machine
	faults  *Faults
	dead    atomic.Bool
	events  atomic.Pointer[chan spec.Event]
	onDeath func()
	busy    map[string]string // verbs under way, by name; the machine guards it
}

var _ reconcile.Node = (*Node)(nil)

// Attach gives an agent access to a machine, with faults or, if nil, without. onDeath is called when a fault kills the agent in the middle of a verb.
func (m *Machine) Attach(faults *Faults, onDeath func()) *Node {
	n := &Node{machine: m, faults: faults, onDeath: onDeath, busy: map[string]string{}}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions = append(m.sessions, n)
	return n
}

// Die makes everything the agent does from now on have no effect.
func (n *Node) Die() {
	n.dead.Store(true)
	n.onDeath()
}

// do carries out one verb with the faults that are due: an error or the agent's death, before it takes effect or after.
func (n *Node) do(ctx context.Context, verb, name string, effect func() error) error {
	return n.meet(ctx, verb, name, func(fate) error { return effect() })
}

// meet is do for an effect that has faults of its own.
func (n *Node) meet(ctx context.Context, verb, name string, effect func(fate) error) error {
	if n.dead.Load() {
		return ErrDead
	}
	defer n.begin(verb, name)()
	f := n.faults.next(verb, name)
	if f.delay > 0 {
		select {
		case <-time.After(f.delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	switch f.before {
	case faultError:
		return errFault
	case faultDeath:
		n.Die()
		return ErrDead
	}
	if n.dead.Load() {
		return ErrDead
	}
	n.machine.mu.Lock()
	err := effect(f)
	if err == nil && f.breaks && (verb == reconcile.VerbCreate || verb == reconcile.VerbRestore) {
		n.machine.breakNewest(name)
		err = errFault
	}
	n.machine.mu.Unlock()
	switch f.after {
	case faultError:
		return errors.Join(err, errFault)
	case faultDeath:
		n.Die()
		return ErrDead
	}
	return err
}

// looks are the verbs that change nothing, and may come at any time.
var looks = []string{"Observe", "Drift", "Stats", "Processes", "Images", "RemoveImage"}

// begin notes that a verb is under way, until the function it gives is called: the caller runs the verbs of one name one at a time.
func (n *Node) begin(verb, name string) (end func()) {
	if slices.Contains(looks, verb) {
		return func() {}
	}
	n.machine.mu.Lock()
	defer n.machine.mu.Unlock()
	if other := n.busy[name]; other != "" {
		n.machine.misfits = append(n.machine.misfits, fmt.Sprintf("%s of %s in the middle of its %s", verb, name, other))
	}
	n.busy[name] = verb
	return func() {
		n.machine.mu.Lock()
		defer n.machine.mu.Unlock()
		delete(n.busy, name)
	}
}

// hint sends an event, unless a fault loses it or the reader is slow.
func (n *Node) hint(e spec.Event) {
	events := n.events.Load()
	if events == nil || n.dead.Load() || n.faults.next("Event", e.Name).before == faultError {
		return
	}
	select {
	case *events <- e:
	default:
	}
}

// Observe shows every instance.
func (n *Node) Observe(ctx context.Context) (all []spec.Instance, err error) {
	err = n.do(ctx, "Observe", "", func() error {
		for _, name := range n.machine.names() {
			all = append(all, n.machine.observe(name)...)
		}
		return nil
	})
	return all, err
}

// ObserveOne shows the instances of one name.
func (n *Node) ObserveOne(ctx context.Context, name string) (all []spec.Instance, err error) {
	rests := true
	err = n.do(ctx, "Observe", name, func() error {
		all, rests = n.machine.observe(name), n.machine.rests(name)
		return nil
	})
	if !rests {
		time.Sleep(time.Second) // else it would never end
	}
	return all, err
}

// Events gives hints.
func (n *Node) Events(context.Context) (<-chan spec.Event, error) {
	events := make(chan spec.Event, 1024)
	n.events.Store(&events)
	return events, nil
}

// Create makes an instance without a process.
func (n *Node) Create(ctx context.Context, c spec.Container, id uint64, defaults int) error {
	return n.do(ctx, "Create", c.Metadata.Name, func() error { return n.machine.create(c, id, defaults) })
}

// Start starts its process.
func (n *Node) Start(ctx context.Context, name string, id uint64) error {
	return n.do(ctx, "Start", name, func() error { return n.machine.start(name, id) })
}

// Stop asks its process to end.
func (n *Node) Stop(ctx context.Context, name string, id uint64, signal string, timeout time.Duration) error {
	return n.do(ctx, "Stop", name, func() error { return n.machine.stop(name, id, signal, timeout) })
}

// Kill sends its process a signal.
func (n *Node) Kill(ctx context.Context, name string, id uint64, signal string) error {
	return n.do(ctx, "Kill", name, func() error { return n.machine.kill(name, id, signal) })
}

// Update changes its limits and live fields.
func (n *Node) Update(ctx context.Context, c spec.Container, id uint64) error {
	return n.do(ctx, "Update", c.Metadata.Name, func() error { return n.machine.update(c, id) })
}

// Pause freezes it.
func (n *Node) Pause(ctx context.Context, name string, id uint64) error {
	return n.do(ctx, "Pause", name, func() error { return n.machine.pause(name, id) })
}

// Resume thaws it.
func (n *Node) Resume(ctx context.Context, name string, id uint64) error {
	return n.do(ctx, "Resume", name, func() error { return n.machine.resume(name, id) })
}

// Destroy removes it.
func (n *Node) Destroy(ctx context.Context, name string, id uint64, keep bool) error {
	return n.do(ctx, "Destroy", name, func() error { n.machine.destroy(name, id, keep); return nil })
}

// Stats shows what it uses.
func (n *Node) Stats(ctx context.Context, name string, id uint64) (s spec.Stats, err error) {
	err = n.do(ctx, "Stats", name, func() error { s, err = n.machine.stats(name, id); return err })
	return s, err
}

// Processes shows what runs in it.
func (n *Node) Processes(ctx context.Context, name string, id uint64) (all []spec.Process, err error) {
	err = n.do(ctx, "Processes", name, func() error { all, err = n.machine.processes(name, id); return err })
	return all, err
}

// Features says that all is there.
func (n *Node) Features(ctx context.Context) map[string]error { return n.machine.features(ctx) }

// Exec starts nothing: it is for machines with real processes. This one looks at whether somebody may ask for it.
func (n *Node) Exec(ctx context.Context, name string, id uint64, _ spec.Exec) (spec.Session, error) {
	return nil, n.do(ctx, "Exec", name, func() error { return n.machine.exec(name, id) })
}

// Attach is for machines with real processes.
func (n *Node) Attach(context.Context, string, uint64) (spec.Session, error) {
	return nil, errors.ErrUnsupported
}
