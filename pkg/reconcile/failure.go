package reconcile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Failure is an action that failed.
type Failure struct {
	Verb  string
	Err   error
	Count int       // failures in a row
	Retry time.Time // when to try again
	// Final tells that trying again cannot help until the manifest changes.
	Final bool
}

// The wait after a failure: the first doubled with each, up to the last.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// lastRetries are those of verbs that cost the container something each time.
var lastRetries = map[string]time.Duration{VerbCheckpoint: 5 * time.Minute}

// stalledAfter is after how many failures in a row a name counts as stalled.
const stalledAfter = 5

// additions are the verbs that can be given up. All others are tried for ever: without them something would run on that should not.
var additions = []string{VerbCreate, VerbStart, VerbUpdate, VerbPause, VerbResume, VerbCheckpoint, VerbRestore}

// after is the failure that an error makes of the one before.
func (f Failure) after(verb string, err error, now time.Time) Failure {
	count := 1
	if f.Verb == verb {
		count = f.Count + 1
	}
	invalid := errors.Is(err, fs.ErrInvalid) && !errors.Is(err, spec.ErrNotRunning) // what has just ended may run again
	return Failure{
		Verb: verb, Err: err, Count: count,
		Retry: now.Add(doubled(firstRetry, count-1, cmp.Or(lastRetries[verb], lastRetry))),
		Final: (errors.Is(err, errors.ErrUnsupported) || invalid) && slices.Contains(additions, verb),
	}.final()
}

// final has no time to retry at when there will be no retry.
func (f Failure) final() Failure {
	if f.Final {
		f.Retry = time.Time{}
	}
	return f
}

// holds tells whether the action is not to be tried now.
func (f Failure) holds(now time.Time) bool {
	return f.Err != nil && (f.Final || f.Retry.After(now) && f.Retry.Sub(now) <= lastRetries[VerbCheckpoint]) // later than ever: the clock was set back
}

// retryText says for people why an action failed and when it is tried again; the hint of an error stays last.
func (f Failure) retryText() string {
	why, hint, hinted := strings.Cut(f.Err.Error(), "\nhint: ")
	text := fmt.Sprintf("%s; try %d at %s", why, f.Count+1, clock(f.Retry))
	if hinted {
		text += "\nhint: " + hint
	}
	return text
}

// stalled tells whether somebody should look.
func (f Failure) stalled() bool { return f.Err != nil && (f.Final || f.Count >= stalledAfter) }
