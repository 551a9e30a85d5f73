package linux

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
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
		n.watch(group)
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

// watch has every watcher look at a group. A group that cannot be watched is still seen by the next full Observe.
func (n *Node) watch(group *cgroup.Group) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, watcher := range n.watchers {
		if err := watcher.Add(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
			n.cfg.Log.Error(err, "cannot watch cgroup", "container", group.Name)
		}
	}
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
