package linux

import (
	"context"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
)

// manner is how something comes into a pid namespace.
type manner struct {
	isSeen bool // it is part of the node on its way, and could be looked into
	sees   bool // it may look into others
}

// joining is what is on its way into pid namespaces, for moments. What may see and what is seen are not on their way into the same one; in any
// other they do not hear of one another.
type joining struct {
	mu   sync.Mutex
	seen map[namespace.ID]int
	sees map[namespace.ID]int
	left chan struct{} // closed when something has left, if somebody waits for it
}

// try takes something in unless something is in its way. The caller ends it by leave.
func (j *joining) try(in namespace.ID, m manner) (leave func(), ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if m.isSeen && j.sees[in] > 0 || m.sees && j.seen[in] > 0 {
		return nil, false
	}
	if j.seen == nil {
		j.seen, j.sees = map[namespace.ID]int{}, map[namespace.ID]int{}
	}
	j.count(in, m, 1)
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.count(in, m, -1)
		if j.left != nil {
			close(j.left)
			j.left = nil
		}
	}, true
}

func (j *joining) count(in namespace.ID, m manner, by int) {
	for _, c := range []struct {
		of map[namespace.ID]int
		is bool
	}{{j.seen, m.isSeen}, {j.sees, m.sees}} {
		if !c.is {
			continue
		}
		if c.of[in] += by; c.of[in] == 0 {
			delete(c.of, in)
		}
	}
}

// enter is try that waits for what is in the way, or the end of ctx.
func (j *joining) enter(ctx context.Context, in namespace.ID, m manner) (leave func(), err error) {
	for {
		left := j.waiting()
		if leave, ok := j.try(in, m); ok {
			return leave, nil
		}
		select {
		case <-left:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// waiting is closed when something has left.
func (j *joining) waiting() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.left == nil {
		j.left = make(chan struct{})
	}
	return j.left
}
