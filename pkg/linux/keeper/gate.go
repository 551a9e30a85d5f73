package keeper

import (
	"sync"
	"time"
)

// gate is for events: output, ends, deadlines. Each is through soon, but there may always be some: it is closed before they are waited for, and
// opened again when that takes too long. The zero value is open.
type gate struct {
	mu     sync.Mutex
	inside int
	shut   chan struct{} // closed when it opens again; nil while it is open
	empty  chan struct{} // closed when nobody is inside any more; nil while nobody waits for that
}

// enter waits while the gate is closed.
func (g *gate) enter() {
	g.mu.Lock()
	for g.shut != nil {
		opened := g.shut
		g.mu.Unlock()
		<-opened
		g.mu.Lock()
	}
	g.inside++
	g.mu.Unlock()
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// close keeps others out, waits until nobody is inside, and tells whether that came in time; if not, it is open again. One at a time may
// close it.
func (g *gate) close(timeout time.Duration) bool {
	g.mu.Lock()
	g.shut = make(chan struct{})
	empty := make(chan struct{})
	if g.inside == 0 {
		close(empty)
	} else {
		g.empty = empty
	}
	g.mu.Unlock()
	select {
	case <-empty:
		return true
	case <-time.After(timeout):
		g.open()
		return false
	}
}

// open lets those in who wait.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.shut)
	g.shut, g.empty = nil, nil
}
