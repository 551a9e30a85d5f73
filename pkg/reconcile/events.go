package reconcile

import (
	"context"
	"slices"
	"sort"
	"sync"
	"time"
)

// How many events are kept: of one container, and for watches to resume over.
const (
	keptEvents  = 64
	eventsWatch = 4096
)

// events remembers what happened, for people. An event that repeats the one before it of the same name is counted.
type events struct {
	mu      sync.Mutex
	byName  map[string][]Event // oldest first
	journal *journal[Event]
}

func newEvents() *events {
	return &events{byName: map[string][]Event{}, journal: newJournal[Event](eventsWatch)}
}

// Add notes an event; its ID is set here. A Count of 0 is one.
func (e *events) Add(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := e.byName[event.Name]
	event.Count = max(event.Count, 1)
	if n := len(list); n > 0 && same(list[n-1], event) {
		event.Count += list[n-1].Count
		list = list[:n-1]
	}
	event = e.journal.Append(func(id uint64) Event {
		event.ID = id
		return event
	})
	if len(list) >= keptEvents {
		list = slices.Clone(list[len(list)-keptEvents+1:])
	}
	e.byName[event.Name] = append(list, event)
}

func same(a, b Event) bool {
	return a.Reason == b.Reason && a.Message == b.Message && a.Warning == b.Warning
}

// Forget drops the events of a name that were last seen before a time, so that names long gone cost nothing.
func (e *events) Forget(before time.Time, known func(name string) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, list := range e.byName {
		if name != "" && list[len(list)-1].Time.Before(before) && !known(name) {
			delete(e.byName, name)
		}
	}
}

// List is the events kept with an ID above since, oldest first, of one name unless that is "".
func (e *events) List(name string, since uint64) []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []Event
	for of, events := range e.byName {
		if name != "" && of != name {
			continue
		}
		for _, event := range events {
			if event.ID > since {
				list = append(list, event)
			}
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	return list
}

// Watch gives the events with an ID above since as far as they are kept, of one name unless that is "".
func (e *events) Watch(ctx context.Context, name string, since uint64) <-chan Event {
	return follow(ctx, e.journal, max(since, e.journal.Oldest()), func(event Event) (Event, bool) { return event, name == "" || event.Name == name })
}
