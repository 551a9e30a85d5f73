package reconcile

import (
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Meter is told what the loop does while it does it, by whoever does it: it returns at once, and may be called from many goroutines.
type Meter interface {
	// Handed tells that a worker has taken a name, and how long that was due.
	Handed(waited time.Duration)
	// Passed tells how a pass ended.
	Passed(outcome Outcome, took time.Duration)
	// Acted tells of an action that was tried, by a pass or by hand; taken is the image of a Checkpoint. A Repair names what it puts back in Fields.
	Acted(action Action, taken spec.Image, took time.Duration, err error)
	// Relisted tells of a look at the whole node, and how many names it found changed of which no event had told.
	Relisted(took time.Duration, missed int, err error)
	// Converged tells how long a container took from the scan that brought its manifest until it was ready, with nothing left to do.
	Converged(took time.Duration)
	// Told tells of an event.
	Told(e Event)
}

// Outcome is what came of a pass, in one word.
type Outcome string

// The outcomes of passes.
const (
	OutcomeIdle     Outcome = "Idle"     // nothing was to be done
	OutcomeActed    Outcome = "Acted"    // something was done
	OutcomeFailed   Outcome = "Failed"   // the latest that was tried failed
	OutcomeRestless Outcome = "Restless" // what was done leads nowhere
)

// Outcomes are all of them.
func Outcomes() []Outcome {
	return []Outcome{OutcomeIdle, OutcomeActed, OutcomeFailed, OutcomeRestless}
}

// unmetered is the Meter of an agent that has none.
type unmetered struct{}

func (unmetered) Handed(time.Duration)                           {}
func (unmetered) Passed(Outcome, time.Duration)                  {}
func (unmetered) Acted(Action, spec.Image, time.Duration, error) {}
func (unmetered) Relisted(time.Duration, int, error)             {}
func (unmetered) Converged(time.Duration)                        {}
func (unmetered) Told(Event)                                     {}

// converge tells the meter once that the newest manifest is in effect.
func (a *Agent) converge(n *entry, status spec.Status) {
	if n.converging.IsZero() || len(status.Pending) > 0 {
		return
	}
	for _, c := range status.Conditions {
		if c.Type == spec.ConditionReady && c.Status == spec.True {
			a.Meter.Converged(max(0, time.Since(n.converging)))
			n.converging = time.Time{}
		}
	}
}
