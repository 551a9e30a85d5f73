package api

import (
	"context"
	"net/http"
	"sync"
)

// SetGrants has others say who may do what, from the next request on. What is under way of callers on the socket that may not have asked for it any more ends:
// streams, sessions and long requests.
func (s *Server) SetGrants(grants Grants) {
	s.grants.Store(&grants)
	s.asked.mu.Lock()
	defer s.asked.mu.Unlock()
	for a := range s.asked.of {
		a.judge(&grants)
	}
}

// judge gives a peer its role.
func (s *Server) judge(p Peer) Peer {
	p.decided = s.grants.Load()
	p.Role = p.decided.role(p)
	return p
}

// judgedAnew is a request of a caller whose role was decided by grants that are not in force any more with the role that it has by now.
func (s *Server) judgedAnew(r *http.Request) *http.Request {
	peer := callerOf(r)
	if peer.decided == nil || peer.decided == s.grants.Load() {
		return r
	}
	return r.WithContext(WithPeer(r.Context(), s.judge(peer)))
}

// errRevoked is why what was under way ends.
var errRevoked = &Error{Reason: ReasonForbidden, Message: "the caller's role was taken away meanwhile", Text: "ask who runs the agent: its grants are others now"}

// asked are the requests that are under way.
type asked struct {
	mu sync.Mutex
	of map[*underWay]bool
}

// underWay is one of them.
type underWay struct {
	peer   Peer
	needed Role
	end    context.CancelCauseFunc
}

// judge ends the request, if its caller may not ask for it by the grants.
func (a *underWay) judge(grants *Grants) {
	if grants.role(a.peer) < a.needed {
		a.end(errRevoked)
	}
}

// untilRevoked is a request whose context ends when its caller may not ask for it any more; over is to be called when it is answered.
func (s *Server) untilRevoked(r *http.Request, needed Role) (_ *http.Request, over func()) {
	peer := callerOf(r)
	if peer.decided == nil {
		return r, func() {}
	}
	ctx, end := context.WithCancelCause(r.Context())
	a := &underWay{peer, needed, end}
	s.asked.mu.Lock()
	s.asked.of[a] = true
	s.asked.mu.Unlock()
	if now := s.grants.Load(); now != peer.decided { // they came between
		a.judge(now)
	}
	return r.WithContext(ctx), func() {
		s.asked.mu.Lock()
		delete(s.asked.of, a)
		s.asked.mu.Unlock()
		end(nil)
	}
}
