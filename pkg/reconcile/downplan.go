package reconcile

import (
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Down tells of a node that goes down or is drained: since when, and when at the latest all has to be over, zero when nobody said.
type Down struct {
	Since, By time.Time
	// Drained tells that it comes up again when somebody says so, Checkpoint that what can goes into images until then.
	Drained, Checkpoint bool
}

// cause says why nothing runs.
func (d Down) cause() string {
	if d.Drained {
		return "the node is drained"
	}
	return "the node goes down"
}

// IsZero tells whether the node stays up.
func (d Down) IsZero() bool { return d == Down{} }

// goDown brings down what runs, and does nothing else. What has no image in time, or cannot have one, is stopped like the rest.
func (w *world) goDown() step {
	for _, in := range w.Observed {
		if !live(in) || !in.Stopping.IsZero() {
			continue
		}
		stop := w.stopAction(in.ID, w.ownSpec(in), w.Down.cause())
		if until, ok := w.imageUntil(in, stop.Timeout); ok {
			return w.lastIn(w.try(Action{
				Verb: VerbCheckpoint, Instance: in.ID, Cause: w.Down.cause(), Until: until, Options: spec.CheckpointOptions{Stop: true},
			}), stop.Timeout)
		}
		return w.lastIn(w.try(stop), stop.Timeout)
	}
	for _, in := range w.Observed {
		if live(in) {
			return w.awaitStop(in, VerbKill)
		}
	}
	return step{}
}

// imageUntil tells whether an instance is to end in an image, and until when that may be tried: its own stop needs time as well.
func (w *world) imageUntil(in spec.Instance, timeout time.Duration) (until time.Time, ok bool) {
	if w.Desired == nil || !w.suspends() || !w.matches(in) || w.Failure.Verb == VerbCheckpoint && w.Failure.Err != nil {
		return until, false
	}
	if w.Down.By.IsZero() {
		return until, true
	}
	until = w.Down.By.Add(-min(timeout, w.Down.By.Sub(w.Down.Since)/2))
	return until, until.After(w.now)
}

// suspends tells whether a container is to be in an image when the node is down.
func (w *world) suspends() bool {
	asked := w.asked()
	return asked == spec.StateCheckpointed || asked != spec.StateStopped && (w.wanted.Spec.Checkpoint.OnShutdown || w.Down.Checkpoint)
}
