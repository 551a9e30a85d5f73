package api

import (
	"net/http"
	"sync"
)

// slots bound how many requests of a kind are served at one time: others is for those who are not admins.
type slots struct {
	all    chan struct{}
	others quota
}

func newSlots(n int) slots { return slots{make(chan struct{}, n), quotaOf(n)} }

// take takes a slot, which release gives back. It does not wait for one.
func (s slots) take(peer Peer) (release func(), ok bool) {
	back := func() {}
	if peer.Role < Admin {
		if back, ok = s.others.take(peer.UID); !ok {
			return nil, false
		}
	}
	select {
	case s.all <- struct{}{}:
		return func() { <-s.all; back() }, true
	default:
		back()
		return nil, false
	}
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

// quota is what some users may have of something: all together, and each of them.
type quota struct {
	places chan struct{}
	users  *users
}

// quotaOf is what those who are not admins may have of n places: a quarter is kept from them, so that root gets through, and each user has a quarter at most,
// so that the others do.
func quotaOf(n int) quota { return quota{make(chan struct{}, n*3/4), newUsers(n / 4)} }

// take takes a place for a user, which release gives back. It does not wait for one.
func (q quota) take(uid uint32) (release func(), ok bool) {
	if !q.users.take(uid) {
		return nil, false
	}
	select {
	case q.places <- struct{}{}:
		return func() { <-q.places; q.users.give(uid) }, true
	default:
		q.users.give(uid)
		return nil, false
	}
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
