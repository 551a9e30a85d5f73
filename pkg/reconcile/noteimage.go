package reconcile

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// An image from which so many runs in a row ended within a time is not used again, until the manifest changes.
const (
	poisonLimit = 3
	quickEnd    = 10 * time.Second
)

// maxBad is how many images with a past are remembered, the newest.
const maxBad = 32

func badImage(bad []record.BadImage, ref string) record.BadImage {
	if i := slices.IndexFunc(bad, func(b record.BadImage) bool { return b.Image == ref }); i >= 0 {
		return bad[i]
	}
	return record.BadImage{Image: ref}
}

// withBad is a list with one image's past changed, or forgotten when there is nothing left of it.
func withBad(bad []record.BadImage, b record.BadImage) (list []record.BadImage) {
	for _, other := range bad {
		if other.Image != b.Image {
			list = append(list, other)
		}
	}
	if b.Problem != "" || b.Quick > 0 {
		list = append(list, b)
	}
	return list[max(0, len(list)-maxBad):]
}

// noteTaken writes down that an image was taken, or could not be.
func noteTaken(r *record.Record, err error, now time.Time) {
	r.Images.Tried = now
	if err == nil {
		r.Images.Failures, r.Images.Problem, r.Images.Unsupported = 0, "", false
		return
	}
	r.Images.Failures++
	r.Images.Problem, r.Images.Unsupported = err.Error(), errors.Is(err, errors.ErrUnsupported)
}

// passingTries is how often an image is tried in a row against what may have nothing to do with it (a keeper that died in the middle, say) before an older one
// takes its place: that one lacks all that came after.
const passingTries = 3

// restoreAgain tells whether a restore that failed, as often in a row as latest says, is to be tried again from the same image.
func restoreAgain(latest Failure, err error) bool {
	for _, is := range []error{errors.ErrUnsupported, fs.ErrInvalid, fs.ErrNotExist, context.DeadlineExceeded} {
		if errors.Is(err, is) {
			return false
		}
	}
	count := 0
	if latest.Verb == VerbRestore {
		count = latest.Count
	}
	if errors.Is(err, spec.ErrBusy) {
		return count < stalledAfter
	}
	return count+1 < passingTries
}

// noteRestored writes down that no run could begin from an image, if there is an error. What speaks against the image itself stays.
func noteRestored(r *record.Record, image string, err error) {
	switch {
	case err == nil:
	case errors.Is(err, errors.ErrUnsupported):
		r.Images.Unable = err.Error()
	default:
		b := badImage(r.Images.Bad, image)
		b.Problem, b.Passing = err.Error(), !errors.Is(err, fs.ErrInvalid)
		r.Images.Bad = withBad(r.Images.Bad, b)
	}
}

// noteBegin writes down that the newest instance has a new run: what it began from, and what is no longer to be remembered of the way there.
func noteBegin(r *record.Record, in spec.Instance) {
	began := record.Origin{}
	if o := r.Intent.Origin; o.Instance == in.ID && o.Starts == in.Starts {
		began = o
	}
	r.Origin, r.Suspended, r.Images.Climbing = began, false, false
	if in.ID > r.Restore.Instance || in.ID == r.Restore.Instance && in.Starts > r.Restore.Starts {
		r.Restore = record.Restore{}
	}
	if began.Rung == record.RungCold || began.Image != "" {
		noteClimbed(r)
	}
	if began.Image == "" {
		return
	}
	// It could be restored after all.
	b := badImage(r.Images.Bad, began.Image)
	b.Problem, b.Passing = "", false
	r.Images.Bad = withBad(r.Images.Bad, b)
}

// noteClimbed forgets problems that may have passed: the next start tries anew.
func noteClimbed(r *record.Record) {
	r.Images.Unable = ""
	for _, b := range r.Images.Bad {
		if b.Passing {
			b.Problem, b.Passing = "", false
			r.Images.Bad = withBad(r.Images.Bad, b)
		}
	}
}

// noteEnd writes down how long a run that began from an image lasted, if its end was its own.
func noteEnd(r *record.Record, in spec.Instance, exit spec.Exit, suspends bool) {
	if exit.Reason == spec.ExitCheckpointed {
		r.Suspended = suspends
		r.Images.Failures, r.Images.Problem, r.Images.Unsupported = 0, "", false
	}
	o := r.Origin
	if o.Image == "" || o.Instance != in.ID || o.Starts != in.Starts || exit.StartedAt.IsZero() {
		return
	}
	b := badImage(r.Images.Bad, o.Image)
	switch lasted := exit.FinishedAt.Sub(exit.StartedAt); {
	case lasted >= quickEnd:
		b.Quick = 0
	case requested(exit) || exit.Reason == spec.ExitKilled || exit.Reason == spec.ExitMemoryLost:
		return
	default:
		b.Quick++
	}
	r.Images.Bad = withBad(r.Images.Bad, b)
}
