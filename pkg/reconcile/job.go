package reconcile

import (
	"fmt"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The times of a schedule that was missed are looked for backwards from now, in steps that double from the first to the last.
const (
	firstBack = time.Minute
	lastBack  = 5 * 366 * 24 * time.Hour
)

// latest is the newest time of a schedule after one time and not after another; zero when there is none.
func latest(times interface{ Next(time.Time) time.Time }, after, now time.Time) (tick time.Time) {
	for back := firstBack; back <= lastBack; back *= 2 {
		from := later(after, now.Add(-back))
		for next := times.Next(from); !next.IsZero() && !next.After(now); next = times.Next(next) {
			tick = next
		}
		if !tick.IsZero() || from.Equal(after) {
			return tick
		}
	}
	return tick
}

// due is the run that a schedule wants now, by its time, zero for none, and when the next will be due. What cannot be told is an error.
func (w *world) due() (tick, next time.Time, err error) {
	times, err := w.wanted.Spec.Job.Schedule.Times()
	if err != nil {
		return tick, next, err
	}
	last := w.Record.Job.Last
	if last.IsZero() || last.After(w.now) { // the clock was set back
		last = w.past(w.Record.Rollout.Accepted)
	}
	if last.IsZero() {
		last = w.now
	}
	tick = latest(times, last, w.now)
	if late := time.Duration(w.wanted.Spec.Job.Schedule.StartingDeadline); late > 0 && w.now.Sub(tick) > late {
		tick = time.Time{}
	}
	return tick, times.Next(w.now), nil
}

// noteJob writes down which runs of a schedule are left out, and which job has completed for good.
func (w *world) noteJob() record.Record {
	r, job := w.Record, w.wanted.Spec.Job
	if w.Desired == nil || job.IsZero() {
		return r
	}
	in, ok := w.current()
	if !job.Scheduled() {
		if exit := w.exit(in); ok && in.Phase == spec.InstanceExited && !requested(exit) && !exit.Failed() {
			r.Job.Completed = in.Hash
		}
		return r
	}
	tick, _, err := w.due()
	if err == nil && !tick.IsZero() && ok && live(in) && job.Schedule.Concurrency != spec.ConcurrencyReplace {
		r.Job.Last, r.Job.LeftOut = tick, r.Job.LeftOut+1
	}
	return r
}

// noteTick writes down that the run which a schedule was to begin has begun.
func noteTick(r *record.Record, in spec.Instance) bool {
	t := r.Job.Tick
	if t.Time.IsZero() || t.Instance != in.ID || in.Starts < t.Starts {
		return false
	}
	r.Job.Last, r.Job.Tick = t.Time, record.Tick{}
	return in.Starts == t.Starts
}

// completed tells whether a job without a schedule has completed, in whatever boot.
func (w *world) completed() bool {
	job := w.wanted.Spec.Job
	return !job.IsZero() && !job.Scheduled() && w.Record.Job.Completed == w.identity(spec.DefaultsVersion)
}

// scheduledRun begins a run of a job when it is due, and nothing else: fallback is what happens in between to one that has ended.
func (w *world) scheduledRun(in spec.Instance, fallback step) step {
	if restartPending := fallback.action != nil || !fallback.wake.IsZero(); restartPending && in.Phase == spec.InstanceExited && !requested(w.exit(in)) {
		return fallback // of the run that has failed
	}
	tick, next, err := w.due()
	switch {
	case err != nil:
		return step{held: &Failure{Verb: VerbStart, Err: err, Final: true}}
	case tick.IsZero():
		return step{due: next}
	}
	return w.try(Action{
		Verb: VerbStart, Instance: in.ID, Cause: "schedule: due at " + tick.UTC().Format(time.DateTime),
		Tick: record.Tick{Time: tick, Instance: in.ID, Starts: in.Starts + 1},
	})
}

// replaced stops a run for the next one, where the schedule says so.
func (w *world) replaced(in spec.Instance, c spec.Container) step {
	job := w.wanted.Spec.Job
	if !job.Scheduled() {
		return step{}
	}
	tick, next, err := w.due()
	if err != nil || tick.IsZero() || job.Schedule.Concurrency != spec.ConcurrencyReplace {
		return step{due: next}
	}
	return w.try(w.stopAction(in.ID, c, fmt.Sprintf("schedule: the run of %s takes its place", tick.UTC().Format(time.DateTime))))
}

// jobStatus is what to show of a job.
func (w *world) jobStatus() spec.JobStatus {
	job := w.wanted.Spec.Job
	if w.Desired == nil || job.IsZero() {
		return spec.JobStatus{}
	}
	s := spec.JobStatus{LastScheduled: w.Record.Job.Last, LeftOut: w.Record.Job.LeftOut, Runs: w.Record.Job.Runs}
	if job.Scheduled() {
		_, s.Next, _ = w.due()
		s.Next = s.Next.UTC()
	}
	return s
}
