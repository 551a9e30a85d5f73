package reconcile

import "time"

// Order is what other containers mean for one.
type Order struct {
	// Waits says which containers that it depends on are not so far yet; "" when all are. Until then none of its runs begins.
	Waits string
	// Soon tells that it waits for a process that runs to complete.
	Soon bool
	// Mate says why another container of its group, which changed with it, has returned to an earlier manifest; "" if none has.
	Mate string
	// After says which containers that depend on it have still to end; "" when none has. Until then it is not asked to end.
	After string
}

// gate holds back the begin of a run.
func (w *world) gate(s step) step {
	if s.action == nil || w.Order.Waits == "" {
		return s
	}
	return step{blocked: w.Order.Waits}
}

// last holds back the end of a run.
func (w *world) last(s step) step {
	if s.action == nil || w.Order.After == "" {
		return s
	}
	return step{blocked: w.Order.After, waiting: true}
}

// lastIn is last on a node that goes down, where it may not take all of the time: the stop itself takes up to timeout.
func (w *world) lastIn(s step, timeout time.Duration) step {
	if w.Down.By.IsZero() {
		return w.last(s)
	}
	until := w.Down.By.Add(-min(timeout, w.Down.By.Sub(w.Down.Since)/2))
	if !until.After(w.now) {
		return s
	}
	s = w.last(s)
	if s.blocked != "" {
		s.wake = until
	}
	return s
}

// waitReason is why a step waits for others, as a condition names it.
func (s step) waitReason() string {
	if s.missing {
		return ReasonMissingReference
	}
	return ReasonWaitingForDependency
}
