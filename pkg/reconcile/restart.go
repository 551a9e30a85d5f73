package reconcile

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// restartDue is when to restart after an exit, and the wait since that exit: none before the first restart of a streak,
// then the initial one, multiplied each time up to the maximum. An exit in the future means that the clock was set back: no wait.
func restartDue(c spec.Container, e spec.Exit, runs record.Runs, now time.Time) (time.Time, time.Duration) {
	b := spec.Defaulted(c, spec.DefaultsVersion).Spec.Restart.Backoff
	if runs.Streak == 0 || e.FinishedAt.After(now) {
		return time.Time{}, 0
	}
	delay := grown(time.Duration(b.Initial), b.Factor, runs.Streak-1, time.Duration(b.Max))
	delay += delay / 100 * time.Duration(b.Jitter) * time.Duration(lot(c.Metadata.Name, runs)) / 100
	return e.FinishedAt.Add(delay), delay
}

// lot is a number from 0 to 99 that is another for each run, and the same however often it is asked for.
func lot(name string, runs record.Runs) int {
	h := fnv.New32a()
	fmt.Fprint(h, name, runs.Instance, runs.Starts)
	return int(h.Sum32() % 100)
}

// doubled is d doubled n times, at most limit.
func doubled(d time.Duration, n int, limit time.Duration) time.Duration { return grown(d, 2, n, limit) }

// grown is d multiplied n times, at most limit.
func grown(d time.Duration, factor, n int, limit time.Duration) time.Duration {
	for ; n > 0 && d < limit && factor > 1; n-- {
		d *= time.Duration(factor)
	}
	return min(d, limit)
}

// over says why an ended process is not started again although a policy would; "" when it may be.
func (w *world) over(in spec.Instance, c spec.Container) (reason, message string) {
	if end := w.end(in, c); !end.IsZero() && !w.now.Before(end) {
		return ReasonDeadlineExceeded, fmt.Sprintf("it did not complete within %s", c.Spec.Deadline)
	}
	limit, exit := c.Spec.Restart.MaxRestarts, w.exit(in)
	if limit > 0 && w.Record.Runs.Streak >= limit && !requested(exit) && c.Spec.Restart.After(exit) {
		return ReasonRestartLimitReached, fmt.Sprintf("%s after %d restarts in a row", exitText(exit), w.Record.Runs.Streak)
	}
	return "", ""
}

// end is when an instance has to have completed; zero when it has completed, or for never. A first start in the future means that the clock was set back.
func (w *world) end(in spec.Instance, c spec.Container) time.Time {
	began := w.Record.Runs.Began
	if c.Spec.Deadline == 0 || w.Record.Runs.Instance != in.ID || began.IsZero() || began.After(w.now) {
		return time.Time{}
	}
	end := began.Add(time.Duration(c.Spec.Deadline))
	if exit := w.exit(in); in.Phase == spec.InstanceExited && !requested(exit) && exit.FinishedAt.Before(end) && !c.Spec.Restart.After(exit) {
		return time.Time{}
	}
	return end
}

// restart starts an ended process again, if and when somebody asked for it, or its restart policy says so.
func (w *world) restart(in spec.Instance, c spec.Container) step {
	exit := w.exit(in)
	given, _ := w.over(in, c)
	switch {
	case w.restartAsked(in):
		return w.start(in, askedCause)
	case w.restoreAsked(in):
		return w.climb(in, restoreCause)
	case given != "":
		return step{}
	case exit.Reason == spec.ExitCheckpointed:
		return w.climb(in, "its processes are in an image; "+w.stateCause())
	case requested(exit):
		return w.start(in, stoppedBefore+w.stateCause())
	case exit.Reason == spec.ExitMemoryLost:
		if due, _ := restartDue(c, exit, w.Record.Runs, w.now); due.After(w.now) {
			return wait(due)
		}
		return w.climb(in, exitText(exit))
	case !c.Spec.Restart.After(exit):
		return step{}
	}
	return w.startAgain(in, c, exit)
}

// startAgain starts what ended by itself, after the wait that grows with each restart in a row.
func (w *world) startAgain(in spec.Instance, c spec.Container, exit spec.Exit) step {
	due, delay := restartDue(c, exit, w.Record.Runs, w.now)
	if due.After(w.now) {
		return wait(earlier(due, w.end(in, c)))
	}
	cause := fmt.Sprintf("%s; restart %d", exitText(exit), w.Record.Runs.Restarts+1)
	if delay > 0 {
		cause += fmt.Sprintf(" after %v", spec.Duration(delay))
	}
	if c.Spec.Checkpoint.OnCrash == spec.CrashRestore {
		return w.climb(in, cause)
	}
	return w.start(in, cause)
}

// start begins a run from the command.
func (w *world) start(in spec.Instance, cause string) step {
	return w.try(Action{Verb: VerbStart, Instance: in.ID, Cause: cause})
}
