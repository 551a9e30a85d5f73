package reconcile

import (
	"fmt"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The wait after an image that could not be taken: the first, or the time between images where that is less, doubled with each up to the last, or the time
// between images where that is more.
const (
	firstImageRetry = 30 * time.Second
	lastImageRetry  = 10 * time.Minute
)

// scheduled takes an image of what runs when one is due. Nothing waits for it, and its failure is its own.
func (w *world) scheduled(in spec.Instance) step {
	every := time.Duration(w.wanted.Spec.Checkpoint.Every)
	switch {
	case every == 0 || !live(in):
		return step{}
	case w.Unlisted.Err != nil:
		return step{due: w.Unlisted.Retry}
	}
	if due := w.imageDue(in, every); due.After(w.now) {
		return step{due: due}
	}
	return step{action: &Action{
		Name: w.Name, Verb: VerbCheckpoint, Instance: in.ID, Cause: fmt.Sprintf("checkpoint.every is %s", spec.Duration(every)), Scheduled: true,
	}}
}

// imageDue is when the next image is due: so long after the newest one, after the last try and after the begin of the run. What lies in the future was
// written before the clock was set back. Images that were missed are one.
func (w *world) imageDue(in spec.Instance, every time.Duration) time.Time {
	last := w.past(in.StartedAt)
	for _, i := range named(w.Images, w.Name) {
		last = later(last, w.past(i.CreatedAt))
	}
	tried := w.past(w.Record.Images.Tried)
	if n := w.Record.Images.Failures; n > 0 && tried.After(last) {
		wait := doubled(min(every, firstImageRetry), n-1, max(every, lastImageRetry))
		if w.Record.Images.Unsupported {
			wait = max(every, lastImageRetry)
		}
		return tried.Add(wait)
	}
	return later(last, tried).Add(every)
}

// past is a time, if it is not in the future.
func (w *world) past(t time.Time) time.Time {
	if t.After(w.now) {
		return time.Time{}
	}
	return t
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
