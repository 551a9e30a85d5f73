package reconcile

import (
	"context"
	"sync"
)

// together are the turns of groups: images are of all containers of a group at one moment, so that one of them asks for all, and the others look again
// before they ask. Who has such a turn waits for no other.
type together struct {
	mu    sync.Mutex
	turns map[string]*groupTurn
}

// groupTurn is the turn of one group; it is forgotten when nobody has it or waits for it.
type groupTurn struct {
	turn   chan struct{}
	wanted int
}

// Enter waits for the turn of a group, and gives what ends it. No group is always one's turn.
func (t *together) Enter(ctx context.Context, group string) (leave func(), err error) {
	if group == "" {
		return func() {}, nil
	}
	t.mu.Lock()
	if t.turns == nil {
		t.turns = map[string]*groupTurn{}
	}
	g := t.turns[group]
	if g == nil {
		g = &groupTurn{turn: make(chan struct{}, 1)}
		t.turns[group] = g
	}
	g.wanted++
	t.mu.Unlock()
	drop := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if g.wanted--; g.wanted == 0 {
			delete(t.turns, group)
		}
	}
	select {
	case g.turn <- struct{}{}:
		return func() { <-g.turn; drop() }, nil
	case <-ctx.Done():
		drop()
		return nil, ctx.Err()
	}
}
