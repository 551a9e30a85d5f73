package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Reasons of the conditions other than Accepted. A phase is a reason of Ready as well.
const (
	ReasonOverridden   = "Overridden"    // Ready: a state set by hand is in force
	ReasonGoingDown    = "GoingDown"     // Ready: the node goes down
	ReasonScheduled    = "Scheduled"     // Ready: its first run is due later
	ReasonDrained      = "Drained"       // Ready: the node is drained
	ReasonSuspended    = "Suspended"     // Ready: it is not what its manifest says, and nothing is done about it; Suspended: the manifest says so
	ReasonByHand       = "ByHand"        // Suspended: somebody said so
	ReasonHeld         = "Held"          // Ready, Accepted: nothing may be done about the name
	ReasonActing       = "Acting"        // Reconciling: actions are pending
	ReasonStopping     = "Stopping"      // Reconciling: a stop under way has to end
	ReasonBackOff      = "BackOff"       // Reconciling: a restart or another try is due later
	ReasonUnsupported  = "Unsupported"   // Stalled: the node cannot do it; only another manifest helps
	ReasonFailing      = "Failing"       // Stalled: actions keep failing
	ReasonRepaired     = "Repaired"      // Drifted: what differed was put back
	ReasonDifferent    = "Different"     // Drifted: something differs and is not put back yet, or cannot be
	ReasonOlderDefault = "OlderDefaults" // Outdated

	ReasonRolledBack = "RolledBack" // Ready, Stalled, RolledBack: an earlier manifest is in force
	ReasonNotReady   = "NotReady"   // Ready, Reconciling: its readiness probe fails
	ReasonNotStarted = "NotStarted" // Ready, Reconciling: its startup probe has not succeeded yet

	ReasonWaitingForDependency = "WaitingForDependency" // Ready, Reconciling: it is not started before others are so far
	ReasonMissingReference     = "MissingReference"     // Ready, Reconciling: it is not started before a config is there that it uses
	ReasonDeadlineExceeded     = "DeadlineExceeded"     // Stalled: it did not complete in time
	ReasonRestartLimitReached  = "RestartLimitReached"  // Stalled: it was restarted as often in a row as it may be

	ReasonTaken            = "Taken"            // Checkpointed: the newest image that was due is there
	ReasonCheckpointFailed = "CheckpointFailed" // Checkpointed: it could not be taken, and is tried again; what ran runs on
)

// conditions are Ready and Accepted, always, and the others where they are true.
func (w *world) conditions(in spec.Instance, status spec.Status, actions []Action, s step) []spec.Condition {
	list := []spec.Condition{w.ready(in, status, actions, s)}
	add := func(t spec.ConditionType, reason, message string) {
		if reason != "" {
			list = append(list, spec.Condition{Type: t, Status: spec.True, Reason: reason, Message: message})
		}
	}
	reason, message := w.reconciling(in, status, actions, s)
	add(spec.ConditionReconciling, reason, message)
	if back, ok := w.Record.RolledBack(); ok && w.Desired != nil {
		add(spec.ConditionRolledBack, ReasonRolledBack, w.rolledBackText(back))
	}
	if w.suspended() {
		reason := ReasonSuspended
		if w.Record.Override.Suspended {
			reason = ReasonByHand
		}
		add(spec.ConditionSuspended, reason, w.suspendedText())
	}
	reason, message = w.stalled(in)
	add(spec.ConditionStalled, reason, message)
	if a := w.accepted(); a.Status != "" {
		list = append(list, spec.Condition{Type: spec.ConditionAccepted, Status: a.Status, Reason: a.Reason, Message: a.Message})
	}
	list = append(list, w.imageConditions(in)...)
	reason, message = w.drifted(in)
	add(spec.ConditionDrifted, reason, message)
	if in.Defaults > 0 && in.Defaults < spec.DefaultsVersion {
		add(spec.ConditionOutdated, ReasonOlderDefault, fmt.Sprintf("created under version %d of the default values, now %d", in.Defaults, spec.DefaultsVersion))
	}
	return list
}

// reconciling says what is being done or waited for; "" when nothing is.
func (w *world) reconciling(in spec.Instance, status spec.Status, actions []Action, s step) (reason, message string) {
	switch {
	case len(actions) > 0:
		return ReasonActing, actions[0].Verb + ": " + actions[0].Cause
	case s.waiting:
		return ReasonStopping, status.Message
	case s.blocked != "":
		return s.waitReason(), s.blocked
	case !s.wake.IsZero():
		return ReasonBackOff, status.Message
	case in.Phase == spec.InstanceRunning && !w.serves(in) && !w.ends():
		return w.unreadyReason(in), w.health(in).Message
	}
	return "", ""
}

// drifted says what of an instance somebody else changed; "" when nothing is known.
func (w *world) drifted(in spec.Instance) (reason, message string) {
	drift, differs := w.Record.Drift, w.differs(in)
	switch {
	case differs != "":
		return ReasonDifferent, differs
	case drift.Count > 0:
		return ReasonRepaired, fmt.Sprintf("%s; repaired %d times, last at %s", drift.Message, drift.Count, clock(drift.Last))
	}
	return "", ""
}

// stalled says why somebody should look; "" when nobody has to.
func (w *world) stalled(in spec.Instance) (reason, message string) {
	switch f := w.Failure; {
	case f.stalled() && f.Final:
		return ReasonUnsupported, f.Err.Error()
	case f.stalled():
		return ReasonFailing, f.Err.Error()
	case w.Record.Rollout.Outcome == spec.RolloutRolledBack && w.Desired != nil:
		return ReasonRolledBack, w.Record.Rollout.Message
	case in.Phase == spec.InstanceExited && w.Desired != nil && !w.ends():
		return w.over(in, w.wanted)
	}
	return "", ""
}

func (w *world) accepted() Acceptance {
	if w.Desired == nil {
		return Acceptance{}
	}
	return w.Desired.Accepted
}

// ready tells whether the container does what its manifest says.
func (w *world) ready(in spec.Instance, status spec.Status, actions []Action, s step) spec.Condition {
	c := spec.Condition{Type: spec.ConditionReady, Status: spec.False, Reason: string(status.Phase), Message: status.Message}
	switch {
	case w.Desired == nil:
	case w.Desired.Hold != "":
		c.Reason, c.Message = ReasonHeld, w.Desired.Hold
	case s.blocked != "" && !s.waiting:
		c.Reason, c.Message = s.waitReason(), s.blocked
	case slices.ContainsFunc(actions, Action.changes) || s.waiting || s.held != nil:
	case w.Down.Drained:
		c.Reason, c.Message = ReasonDrained, w.Down.cause()+"; `reconciler undrain` ends that"
	case !w.Down.IsZero():
		c.Reason, c.Message = ReasonGoingDown, w.Down.cause()
	case w.suspended() && !w.inLine():
		c.Reason, c.Message = ReasonSuspended, w.suspendedText()
	case w.Record.Override.State != "" && w.Record.Override.State != state(w.wanted):
		c.Reason = ReasonOverridden
	case in.Phase == spec.InstanceRunning && !w.serves(in) && !w.ends():
		c.Reason, c.Message = w.unreadyReason(in), w.health(in).Message
	case slices.Contains(donePhases[state(w.wanted)], status.Phase):
		c.Status = spec.True
	case w.wanted.Spec.Job.Scheduled() && status.Phase == spec.PhasePending && !w.ends():
		c.Status, c.Reason = spec.True, ReasonScheduled
	}
	if back, ok := w.Record.RolledBack(); ok && c.Status == spec.True {
		c.Status, c.Reason, c.Message = spec.False, ReasonRolledBack, w.rolledBackText(back)
	}
	return c
}

func (w *world) unreadyReason(in spec.Instance) string {
	if !w.health(in).Started || w.startPending(in) {
		return ReasonNotStarted
	}
	return ReasonNotReady
}

func (w *world) rolledBackText(to record.Revision) string {
	why := w.Record.Rollback
	return fmt.Sprintf("generation %d is in force in place of %d since %s: %s", to.Generation, why.From, clock(why.Since), why.Why)
}

// donePhases are the phases in which a container does what a state asks for.
var donePhases = map[spec.State][]spec.Phase{
	spec.StateRunning: {spec.PhaseRunning, spec.PhaseCompleted},
	spec.StatePaused:  {spec.PhasePaused, spec.PhaseCompleted},
	spec.StateStopped: {spec.PhaseStopped},

	spec.StateCheckpointed: {spec.PhaseCheckpointed},
}

// imageConditions tell of the newest image and of what the newest run began from, where there is something to tell.
func (w *world) imageConditions(in spec.Instance) (list []spec.Condition) {
	if w.Desired == nil {
		return nil
	}
	if c := w.checkpointed(); c.Status != "" {
		list = append(list, c)
	}
	if o := w.Record.Origin; o.Rung != "" && o.Instance == in.ID && o.Starts == in.Starts {
		c := spec.Condition{Type: spec.ConditionRestored, Status: spec.True, Reason: o.Rung, Message: o.Image}
		switch {
		case o.Image == "":
			c.Status, c.Message = spec.False, o.Why
		case o.Why != "":
			c.Message += "; " + o.Why
		}
		list = append(list, c)
	}
	return list
}

func (w *world) checkpointed() spec.Condition {
	c := spec.Condition{Type: spec.ConditionCheckpointed, Status: spec.False, Reason: ReasonCheckpointFailed}
	images, suspends := w.Record.Images, w.state() == spec.StateCheckpointed
	own := named(w.Images, w.Name)
	switch f := w.Failure; {
	case suspends && f.Verb == VerbCheckpoint && f.Err != nil:
		c.Message = f.Err.Error()
		images.Unsupported = f.Final
	case images.Problem != "" && w.wanted.Spec.Checkpoint.Every > 0:
		c.Message = images.Problem
	case w.Unable != "":
		c.Message, images.Unsupported = coldOnly+w.Unable, true
	case len(own) > 0 && (suspends || w.wanted.Spec.Checkpoint.Every > 0):
		return spec.Condition{Type: spec.ConditionCheckpointed, Status: spec.True, Reason: ReasonTaken, Message: fmt.Sprintf("%s at %s", own[0].Ref(), clock(own[0].CreatedAt))}
	default:
		return spec.Condition{}
	}
	if images.Unsupported {
		c.Reason = ReasonUnsupported
	}
	return c
}

// stamp sets when each condition took its status: as before where that did not change.
func stamp(conditions, before []spec.Condition, now time.Time) {
	for i := range conditions {
		c := &conditions[i]
		c.LastTransitionTime = now
		for _, old := range before {
			if old.Type == c.Type && old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
		}
	}
}
