package reconcile

import (
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Rules are what of a Config may change while the agent runs; the defaults are the same.
type Rules struct {
	Prune    PrunePolicy
	DeepLook time.Duration
	Allows   func(spec.Container) bool
}

// SetRules has other rules count from now on: for what is accepted, removed and returned to next. What is in force stays.
func (a *Agent) SetRules(r Rules) {
	r.DeepLook = orElse(r.DeepLook, time.Minute)
	a.intake.Lock()
	a.mu.Lock()
	other := r.DeepLook != a.DeepLook
	a.Prune, a.DeepLook, a.Allows = r.Prune, r.DeepLook, r.Allows
	a.rules++
	for _, n := range a.names {
		if other {
			n.deepDue = time.Time{}
			a.dueDeep(n)
		}
	}
	a.mu.Unlock()
	a.wakeDeep()
	a.admit() // what a guard held back may go, or the other way round
	a.intake.Unlock()
	a.enqueueAll()
}

// deepEvery is how often a name is looked at deeply, 0 or less for never.
func (a *Agent) deepEvery() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.DeepLook
}

// Tell adds an event that is of no container: what somebody beside the loop has to say.
func (a *Agent) Tell(e Event) { a.tell(e) }
