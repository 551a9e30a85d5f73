package reconcile

import (
	"sync"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
)

// leap is how far the wall clock and the monotonic one may part until the former counts as set: slewing never gets there.
const leap = time.Minute

// timekeeper finds out when somebody sets the wall clock. Times that outlive an agent are of that clock, and those from which something is counted have to
// move with it: else a year forward is the end of every deadline.
type timekeeper struct {
	mu   sync.Mutex
	wall time.Time // as the clocks were read last
	ran  time.Duration
}

// set is by how much the wall clock was set since it was asked last, while the other one ran on; zero for not at all.
func (c *timekeeper) set(wall time.Time, ran time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := wall.Sub(c.wall) - (ran - c.ran)
	if c.wall.IsZero() || by.Abs() < leap {
		by = 0
	}
	c.wall, c.ran = wall, ran
	return by
}

// keepTime has every name move its times when the wall clock was set.
func (a *Agent) keepTime() {
	by := a.times.set(now(), time.Since(a.began))
	if by == 0 {
		return
	}
	a.tell(Event{Warning: true, Reason: "ClockSet", Message: "the node's clock was set by " + by.Round(time.Second).String()})
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, n := range a.names {
		n.moved += by
		a.queue.Add(id)
	}
}

// move is the record with times from which something is counted moved.
func move(r *record.Record, by time.Duration) {
	for _, t := range []*time.Time{&r.Runs.Began, &r.Rollout.Began, &r.Rollout.HealthySince, &r.Drift.Last} {
		if !t.IsZero() {
			*t = t.Add(by)
		}
	}
}
