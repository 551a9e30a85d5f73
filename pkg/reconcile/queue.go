package reconcile

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// queue hands out names to work on: each to one worker at a time, once however often it was added, and not before
// its time. Adding a name that is being worked on hands it out again afterwards.
type queue struct {
	mu      sync.Mutex
	changed *sync.Cond
	ready   []string // in the order in which they were added
	tickets map[string]*ticket
	wakes   wakes
	timer   *time.Timer // set to the earliest wake
	closed  bool
	handed  func(waited time.Duration) // told of each name that a worker takes; nil for nobody
}

// ticket is what the queue knows of a name.
type ticket struct {
	name    string
	queued  bool
	working bool
	again   bool
	since   time.Time // when it became due, or was taken
	wake    time.Time
	index   int // in wakes, -1 when not there
}

func newQueue() *queue {
	q := &queue{tickets: map[string]*ticket{}}
	q.changed = sync.NewCond(&q.mu)
	return q
}

// Add hands a name out as soon as possible.
func (q *queue) Add(name string) { q.Offer(name) }

// Offer is Add; it tells whether nobody was about to look at the name anyway.
func (q *queue) Offer(name string) (news bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.ticket(name)
	news = !t.working && !t.queued
	q.add(t)
	return news
}

func (q *queue) ticket(name string) *ticket {
	t := q.tickets[name]
	if t == nil {
		t = &ticket{name: name, index: -1}
		q.tickets[name] = t
	}
	return t
}

func (q *queue) add(t *ticket) {
	switch {
	case t.working:
		t.again = true
	case !t.queued:
		t.queued, t.since = true, time.Now()
		q.ready = append(q.ready, t.name)
		q.changed.Signal()
	}
}

// Wake hands a name out at a time, instead of the time said before; a zero one is never.
func (q *queue) Wake(name string, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.ticket(name)
	if t.index >= 0 {
		heap.Remove(&q.wakes, t.index)
	}
	if t.wake = at; !at.IsZero() {
		t.wake = time.Now().Add(time.Until(at)) // on the monotonic clock: the other one may be set
		heap.Push(&q.wakes, t)
	}
	q.arm()
}

// arm sets the timer to the earliest wake.
func (q *queue) arm() {
	if q.timer != nil {
		q.timer.Stop()
	}
	if len(q.wakes) > 0 && !q.closed {
		q.timer = time.AfterFunc(time.Until(q.wakes[0].wake), q.ring)
	}
}

// ring adds the names whose time has come.
func (q *queue) ring() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for now := time.Now(); len(q.wakes) > 0 && !q.wakes[0].wake.After(now); {
		t := heap.Pop(&q.wakes).(*ticket)
		t.wake = time.Time{}
		q.add(t)
	}
	q.arm()
}

// Work calls do for names handed out, and done when it was done, until ctx ends. Several may run at once.
func (q *queue) Work(ctx context.Context, do func(name string), done func()) {
	for {
		name, ok := q.next(ctx)
		if !ok {
			return
		}
		do(name)
		q.done(name)
		done()
	}
}

func (q *queue) next(ctx context.Context) (string, bool) {
	defer context.AfterFunc(ctx, q.close)()
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.ready) == 0 && !q.closed {
		q.changed.Wait()
	}
	if q.closed {
		return "", false
	}
	name := q.ready[0]
	q.ready = q.ready[1:]
	t := q.tickets[name]
	waited := time.Since(t.since)
	t.queued, t.working, t.since = false, true, t.since.Add(waited)
	if q.handed != nil {
		q.handed(waited)
	}
	return name, true
}

func (q *queue) done(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.tickets[name]
	t.working = false
	if t.again {
		t.again = false
		q.add(t)
	} else if t.index < 0 {
		delete(q.tickets, name)
	}
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.arm()
	q.changed.Broadcast()
}

// Idle tells whether no name is handed out or waits to be, wakes aside.
func (q *queue) Idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.tickets {
		if t.queued || t.working {
			return false
		}
	}
	return true
}

// wakes is a heap of tickets by time.
type wakes []*ticket

func (w wakes) Len() int           { return len(w) }
func (w wakes) Less(i, j int) bool { return w[i].wake.Before(w[j].wake) }
func (w wakes) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}

func (w *wakes) Push(x any) {
	t := x.(*ticket)
	t.index = len(*w)
	*w = append(*w, t)
}

func (w *wakes) Pop() any {
	last := len(*w) - 1
	t := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	t.index = -1
	return t
}
