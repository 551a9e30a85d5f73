package api

import (
	"net/http"
	"sync"
)

// slots bound how many requests of a kind are served at one time. A quarter is kept from those who are not admins, so that root gets through, and each user
// of them has a quarter at most, so that the others do.
type slots struct {
	all, others chan struct{}
	users       *users
}

func newSlots(n int) slots {
	return slots{make(chan struct{}, n), make(chan struct{}, n*3/4), newUsers(n / 4)}
}

// take takes a slot, which release gives back. It does not wait for one.
func (s slots) take(peer Peer) (release func(), ok bool) {
	takes := []chan struct{}{s.all}
	if peer.Role < Admin {
		if !s.users.take(peer.UID) {
			return nil, false
		}
		takes = append(takes, s.others)
	}
	back := func(taken []chan struct{}) {
		for _, c := range taken {
			<-c
		}
		if peer.Role < Admin {
			s.users.give(peer.UID)
		}
	}
	for i, c := range takes {
		select {
		case c <- struct{}{}:
		default:
			back(takes[:i])
			return nil, false
		}
	}
	return func() { back(takes) }, true
}

// within lets only as many requests be served at one time as there are slots; the others are told that it is full.
func (s slots) within(full *Error, serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		release, ok := s.take(callerOf(r))
		if !ok {
			writeError(w, full)
			return
		}
		defer release()
		serve(w, r)
	})
}

// users bound how much of something each user has.
type users struct {
	most int
	mu   sync.Mutex
	has  map[uint32]int // by uid
}

func newUsers(most int) *users { return &users{most: most, has: map[uint32]int{}} }

// take takes one more for a user, unless that has the most already.
func (u *users) take(uid uint32) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.has[uid] >= u.most {
		return false
	}
	u.has[uid]++
	return true
}

// give gives one back.
func (u *users) give(uid uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.has[uid]--; u.has[uid] == 0 {
		delete(u.has, uid)
	}
}
