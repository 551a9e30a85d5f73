package reconcile

import (
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

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
	noteStarts(&r, in)
	noteOver(&r, in)
	if in.Phase == spec.InstanceExited && !r.Runs.Exited {
		noteExit(&r, in, suspends, now)
	}
	return r
}

// noteStarts counts the starts of an instance since the last look: what a schedule or a person asked for begins a new row, what followed an exit of its own goes on
// with it.
func noteStarts(r *record.Record, in spec.Instance) {
	if more := in.Starts - r.Runs.Starts; more > 0 {
		asked := r.Restart == record.Restart{Instance: in.ID, Starts: r.Runs.Starts}
		tick := noteTick(r, in)
		if !tick && !asked && r.Runs.Exited && r.LastExit != nil && !requested(*r.LastExit) {
			r.Runs.Restarts += more
			r.Runs.Streak += more
		}
		if tick || asked {
			r.Runs.Streak, r.Runs.Began = 0, time.Time{}
		}
		r.Runs.Starts, r.Runs.Exited = in.Starts, false
	}
	if r.Runs.Began.IsZero() && live(in) {
		r.Runs.Began = in.StartedAt
	}
}

// noteOver forgets what was to be done about a run that is over.
func noteOver(r *record.Record, in spec.Instance) {
	if r.Restart.Instance != 0 && (r.Restart.Instance < in.ID || r.Restart.Instance == in.ID && r.Restart.Starts < in.Starts) {
		r.Restart = record.Restart{}
	}
	if r.Unhealthy.Instance != 0 && r.Unhealthy != runOf(in) {
		r.Unhealthy = record.Restart{}
	}
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
	if requested(exit) && r.Unhealthy == runOf(in) {
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
