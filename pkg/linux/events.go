package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// hintBuffer is how many hints may wait for a slow reader before they become one EventLost.
const hintBuffer = 256

// Events merges the keeper's exits with the kernel's notices about cgroups until ctx ends.
func (n *Node) Events(ctx context.Context) (<-chan spec.Event, error) {
	exits, err := n.keeper.Events(ctx)
	if err != nil {
		return nil, err
	}
	watcher, err := n.groups().Watch(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := n.groups().List()
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.watchers = append(n.watchers, watcher)
	n.mu.Unlock()
	for _, group := range groups {
		have, _ := n.readRecord(group.Name, group.Instance) // without one it asks for nothing
		n.watch(group, have.Spec.Spec.Pressure)
	}
	events := make(chan spec.Event, hintBuffer)
	go func() {
		defer close(events)
		defer n.drop(watcher)
		for {
			var event spec.Event
			select {
			case <-ctx.Done():
				return
			case exit, ok := <-exits:
				if !ok {
					return
				}
				event = spec.Event{Name: exit.Name, Kind: exit.Kind}
			case hint, ok := <-watcher.Hints():
				if !ok {
					return
				}
				event = hint
			}
			offer(events, event)
		}
	}()
	return events, nil
}

// offer sends a hint without waiting. The last place is kept for the word that some were lost: the only sender need not wait for it.
func offer(events chan<- spec.Event, event spec.Event) {
	switch len(events) {
	case cap(events):
	case cap(events) - 1:
		events <- spec.Event{Kind: spec.EventLost}
	default:
		events <- event
	}
}

// watch has every watcher look at a group, and for what its manifest calls pressure. A group that cannot be watched is still seen by the
// next full Observe.
func (n *Node) watch(group *cgroup.Group, p spec.Pressure) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, watcher := range n.watchers {
		err := watcher.Add(group)
		if err == nil {
			err = watcher.SetPressure(group, p)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrClosed) {
			n.cfg.Log.Error(err, "cannot watch cgroup", "container", group.Name)
		}
	}
}

// checkPressure refuses triggers where the kernel counts no pressure.
func checkPressure(p spec.Pressure) error {
	if p == (spec.Pressure{}) {
		return nil
	}
	if err := feature.Pressure.Probe(); err != nil {
		return fmt.Errorf("cannot tell of pressure: %w", err)
	}
	return nil
}

// unwatch ends it.
func (n *Node) unwatch(group *cgroup.Group) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, watcher := range n.watchers {
		watcher.Remove(group)
	}
}

func (n *Node) drop(watcher *cgroup.Watcher) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.watchers = slices.DeleteFunc(n.watchers, func(w *cgroup.Watcher) bool { return w == watcher })
}
