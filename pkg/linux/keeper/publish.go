package keeper

import (
	"context"
	"io"
	"net"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// backlog is how many events a slow subscriber may be behind before it is told that some are lost.
const backlog = 256

// subscribers are the clients that want events. The zero value has none.
type subscribers struct {
	mu   sync.Mutex
	each map[chan Event]struct{}
}

// publish gives every subscriber an event without waiting for any.
func (s *subscribers) publish(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.each {
		// The last place is kept for the word that events were lost.
		switch len(c) {
		case cap(c):
		case cap(c) - 1:
			c <- Event{Kind: spec.EventLost}
		default:
			c <- e
		}
	}
}

// join begins a subscription, leave ends it.
func (s *subscribers) join() chan Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan Event, backlog)
	if s.each == nil {
		s.each = map[chan Event]struct{}{}
	}
	s.each[c] = struct{}{}
	return c
}

func (s *subscribers) leave(c chan Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.each, c)
}

// serve answers a subscription and sends events to the client until it hangs up or ctx ends.
func (s *subscribers) serve(ctx context.Context, conn *net.UnixConn) {
	events := s.join()
	defer s.leave(events)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var reader sync.WaitGroup
	defer reader.Wait()
	defer conn.Close()
	reader.Go(func() {
		defer cancel()
		io.Copy(io.Discard, conn) // until it hangs up
	})
	for resp := (response{}); send(conn, resp, nil, nil) == nil; {
		select {
		case <-ctx.Done():
			return
		case resp.Event = <-events:
		}
	}
}
