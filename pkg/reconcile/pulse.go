package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// What the loop begins it has to complete, each in its time: a look at the whole node; a pass, which has that time anew for each of its rounds, while a
// verb has its deadline and some more, and while another has the name's turn as long as that may take.
const (
	patience     = 2 * time.Minute
	turnPatience = 30 * time.Minute // more than the longest deadline
)

// pulse is what the loop has begun, and by when it is to be completed.
type pulse struct {
	mu    sync.Mutex
	parts map[string]beat
}

// beat is a part of the loop that has begun.
type beat struct {
	verb  string    // that the node is asked for, "" between verbs
	since time.Time // of the verb
	due   time.Time
}

// allow gives a part of the loop so long from now on, for a verb of the node or "" for none.
func (p *pulse) allow(part, verb string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parts == nil {
		p.parts = map[string]beat{}
	}
	began := time.Now()
	p.parts[part] = beat{verb, began, began.Add(d)}
}

// of is what a part is in the middle of; the zero value for one that has not begun.
func (p *pulse) of(part string) beat {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.parts[part]
}

// end tells that a part was completed.
func (p *pulse) end(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.parts, part)
}

// late are the parts of a kind that should have been completed by now, sorted.
func (p *pulse) late(kind string) (parts []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for part, b := range p.parts {
		if name, ok := strings.CutPrefix(part, kind); ok && time.Now().After(b.due) {
			parts = append(parts, name)
		}
	}
	slices.Sort(parts)
	return parts
}

// The kinds of parts.
const (
	pulsePass = "pass "
	pulseLook = "look "
)

// Stuck is nil while the loop gets on: it completes what it begins, but for single names that are stuck while others are not. It does not return while
// somebody holds what the loop needs. ctx bounds it nevertheless.
func (a *Agent) Stuck(ctx context.Context) error {
	free := make(chan struct{})
	go func() {
		defer close(free)
		a.intake.Lock()
		defer a.intake.Unlock()
		a.mu.Lock()
		defer a.mu.Unlock()
	}()
	select {
	case <-free:
	case <-ctx.Done():
		return errors.New("the loop is stuck: its locks are held")
	}
	if looks := a.pulse.late(pulseLook); len(looks) > 0 {
		return errors.New("the loop is stuck: a look at the node does not end")
	}
	if names := a.pulse.late(pulsePass); len(names) >= a.Workers {
		return fmt.Errorf("the loop is stuck: no pass of these ends: %s", strings.Join(names, ", "))
	}
	return nil
}

// Reread has every source read anew, and the node looked at, and returns when that is so and what came of it was handed out.
func (a *Agent) Reread(ctx context.Context) error {
	for _, again := range a.again {
		done := make(chan struct{})
		select {
		case again <- done:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	_, err := a.observe(ctx)
	return err
}
