package linux

import (
	"context"
	"sync"
)

// turns lets the verbs of one name run one after another, and those of different names at once.
type turns struct {
	mu    sync.Mutex
	taken map[string]chan struct{} // closed when the turn ends
}

// take waits for the turn of a name, or the end of ctx. The caller ends it by done.
func (t *turns) take(ctx context.Context, name string) (done func(), err error) {
	for {
		t.mu.Lock()
		before, busy := t.taken[name]
		if !busy {
			if t.taken == nil {
				t.taken = map[string]chan struct{}{}
			}
			turn := make(chan struct{})
			t.taken[name] = turn
			t.mu.Unlock()
			return func() { t.end(name, turn) }, nil
		}
		t.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (t *turns) end(name string, turn chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.taken, name)
	close(turn)
}
