package reconcile

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// requestedReasons are the reasons of exits that the agent itself asked for.
var requestedReasons = []string{spec.ExitStopped, spec.ExitStopTimeout, spec.ExitStopSignalUnhandled, spec.ExitCheckpointed}

func requested(e spec.Exit) bool { return slices.Contains(requestedReasons, e.Reason) }

// exitOf is how the latest run of an ended instance ended; at the latest now.
func exitOf(in spec.Instance, now time.Time) spec.Exit {
	exit := spec.Exit{Code: -1, Reason: spec.ExitUnknown, StartedAt: in.StartedAt}
	if in.Exit != nil {
		exit = *in.Exit
	}
	if exit.FinishedAt.IsZero() {
		exit.FinishedAt = now
	}
	return exit
}

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

// note is the record with what is observed written down.
func (w *world) note() record.Record {
	return note(w.Record, w.Observed, w.Down.IsZero() || w.Down.Drained || w.asked() == spec.StateCheckpointed, w.now)
}

// note is a record with what an observation shows written down: runs begun, runs ended. Each is counted once, however often it is seen.
// suspends tells that a run that ends in an image does so because that is what its container should be doing.
func note(r record.Record, observed []spec.Instance, suspends bool, now time.Time) record.Record {
	if until := r.Override.Until; !until.IsZero() && !now.Before(until) {
		r.Override = spec.Override{}
	}
	if len(observed) == 0 {
		return r
	}
	in := observed[len(observed)-1]
	for _, other := range observed {
		r.NextInstance = max(r.NextInstance, other.ID+1)
	}
	if r.Origin.Instance != in.ID || r.Origin.Starts != in.Starts {
		r.Origin = record.Origin{}
	}
	if in.Starts > 0 && (r.Runs.Instance != in.ID || in.Starts > r.Runs.Starts) {
		noteBegin(&r, in)
		notePostStart(&r, in)
	}
	if r.Runs.Instance != in.ID {
		noteExits(&r, observed[:len(observed)-1], now)
		r.Runs = record.Runs{Instance: in.ID, Starts: in.Starts, OOMKills: in.OOMKills, OOMCounter: in.OOMKills}
		noteTick(&r, in)
	}
	noteKills(&r.Runs, in)
	if more := in.Starts - r.Runs.Starts; more > 0 {
		tick := noteTick(&r, in)
		if !tick && r.Runs.Exited && r.LastExit != nil && !requested(*r.LastExit) && r.Restart != (record.Restart{Instance: in.ID, Starts: r.Runs.Starts}) {
			r.Runs.Restarts += more
			r.Runs.Streak += more
		}
		if tick || r.Restart == (record.Restart{Instance: in.ID, Starts: r.Runs.Starts}) {
			r.Runs.Streak, r.Runs.Began = 0, time.Time{}
		}
		r.Runs.Starts, r.Runs.Exited = in.Starts, false
	}
	if r.Runs.Began.IsZero() && live(in) {
		r.Runs.Began = in.StartedAt
	}
	if r.Restart.Instance != 0 && (r.Restart.Instance < in.ID || r.Restart.Instance == in.ID && r.Restart.Starts < in.Starts) {
		r.Restart = record.Restart{}
	}
	if r.Unhealthy.Instance != 0 && r.Unhealthy != (record.Restart{Instance: in.ID, Starts: in.Starts}) {
		r.Unhealthy = record.Restart{}
	}
	if in.Phase == spec.InstanceExited && !r.Runs.Exited {
		noteExit(&r, in, suspends, now)
	}
	return r
}

// noteKills counts the kills for want of memory since the last look.
func noteKills(r *record.Runs, in spec.Instance) {
	if in.OOMKills < r.OOMCounter {
		r.OOMCounter = 0
	}
	r.OOMKills += in.OOMKills - r.OOMCounter
	r.OOMCounter = in.OOMKills
}

// noteExits keeps the exit of a predecessor that ended to make room for its successor.
func noteExits(r *record.Record, observed []spec.Instance, now time.Time) {
	for _, in := range observed {
		if in.Phase == spec.InstanceExited {
			exit := exitOf(in, now)
			r.LastExit = &exit
		}
	}
}

// noteExit writes an exit down. A run of resetAfter or longer was healthy: restarts before it are forgotten.
func noteExit(r *record.Record, in spec.Instance, suspends bool, now time.Time) {
	exit := exitOf(in, now)
	if requested(exit) && r.Unhealthy == (record.Restart{Instance: in.ID, Starts: in.Starts}) {
		exit.Reason = spec.ExitUnhealthy
	}
	r.LastExit, r.Runs.Exited = &exit, true
	if history := in.Spec.Spec.Job.History; history > 0 {
		runs := append(slices.Clone(r.Job.Runs), exit)
		r.Job.Runs = runs[max(0, len(runs)-history):]
	}
	reset := time.Duration(spec.Defaulted(in.Spec, spec.DefaultsVersion).Spec.Restart.Backoff.ResetAfter)
	if !exit.StartedAt.IsZero() && exit.FinishedAt.Sub(exit.StartedAt) >= reset {
		r.Runs.Streak = 0
	}
	noteEnd(r, in, exit, suspends)
}

// exitText says for people how a process ended.
func exitText(e spec.Exit) string {
	switch {
	case e.Reason == spec.ExitUnknown:
		return "process ended, nobody saw how"
	case e.Reason == spec.ExitCheckpointed:
		return "its processes went into an image"
	case e.Reason == spec.ExitMemoryLost:
		return "its memory could not follow from its image"
	case e.Reason == spec.ExitUnhealthy:
		return "process was stopped because it was unhealthy"
	case e.Reason == spec.ExitOOMKilled:
		return "process was killed for want of memory"
	case e.Signal != "":
		return "process was ended by " + e.Signal
	}
	return fmt.Sprintf("process exited with code %d", e.Code)
}
