package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// status is what to show of a name, given what is to be done about it.
func (w *world) status(actions []Action, s step) spec.Status {
	in := w.shown()
	status := spec.Status{
		ObservedGeneration: w.Record.Generation,
		Override:           w.Record.Override,
		Rollout:            rollout(w.Record),
		Job:                w.jobStatus(),
		Source:             spec.Source{Path: w.Record.Path, Line: w.Record.Line},
		Container: spec.ContainerStatus{
			Instance: in.ID, RestartCount: w.Record.Runs.Restarts, LastExit: w.Record.LastExit, Cgroup: in.Cgroup, Resources: in.Resources,
			OOMKills: w.Record.Runs.OOMKills, Ready: w.serves(in),
		},
	}
	if w.Desired != nil {
		status.Source = spec.Source{Path: w.Desired.Origin.Path, Line: w.Desired.Origin.Line}
	}
	if live(in) {
		status.Container.Pid, status.Container.StartedAt = in.Pid, in.StartedAt
	}
	for _, a := range actions {
		status.Pending = append(status.Pending, PendingAction(a))
	}
	status.Configs = w.configStatus(in)
	status.Phase, status.Message = w.phase(in, s)
	status.Conditions = w.conditions(in, status, actions, s)
	return status
}

// PendingAction is an action as a status shows it.
func PendingAction(a Action) spec.PendingAction {
	return spec.PendingAction{Verb: a.Verb, Cause: a.Cause}
}

// shown is the instance a status is about: the newest with processes, else the newest.
func (w *world) shown() (shown spec.Instance) {
	for _, in := range w.Observed {
		if live(in) || !live(shown) {
			shown = in
		}
	}
	return shown
}

// phase sums an instance up in one word and one line.
func (w *world) phase(in spec.Instance, s step) (spec.Phase, string) {
	switch {
	case w.Desired == nil:
		return spec.PhaseTerminating, cmp.Or(s.blocked, removedCause)
	case s.held != nil && !live(in):
		return w.failedPhase(s)
	}
	if s.blocked != "" && !live(in) {
		return spec.PhasePending, s.blocked
	}
	switch in.Phase {
	case spec.InstanceRunning:
		return w.runningPhase(in, s)
	case spec.InstancePaused:
		return spec.PhasePaused, w.handMessage()
	case spec.InstanceBroken:
		return spec.PhasePending, in.Problem
	case spec.InstanceCreated:
		if next := w.jobStatus().Next; !next.IsZero() && s.action == nil && !w.ends() {
			return spec.PhasePending, "first run at " + next.Format(time.DateTime)
		}
		if !w.ends() {
			return spec.PhaseStarting, ""
		}
	case spec.InstanceExited:
		if !w.ends() {
			return w.exitedPhase(in, s)
		}
	}
	switch w.state() {
	case spec.StateStopped:
		return spec.PhaseStopped, w.handMessage()
	case spec.StateCheckpointed:
		return w.savedPhase(in)
	}
	if in.ID == 0 && w.completed() {
		return spec.PhaseCompleted, "completed before the node was restarted"
	}
	return spec.PhasePending, w.Desired.Hold
}

// ends tells whether nothing should run.
func (w *world) ends() bool { return slices.Contains(endStates, w.state()) }

var endStates = []spec.State{spec.StateStopped, spec.StateCheckpointed}

// savedPhase is the phase of what should be in an image and does not run: it may never have come into one.
func (w *world) savedPhase(in spec.Instance) (spec.Phase, string) {
	switch {
	case in.Phase == spec.InstanceCreated, in.ID == 0 && !w.Record.Suspended:
		return spec.PhaseStopped, "nothing to checkpoint: no process ran"
	case in.ID != 0 && w.exit(in).Reason != spec.ExitCheckpointed:
		return spec.PhaseStopped, "nothing to checkpoint: " + exitText(w.exit(in))
	}
	if why := w.unsaved(in); why != "" {
		return spec.PhaseStopped, why
	}
	return spec.PhaseCheckpointed, w.handMessage()
}

// unsaved says why no run can begin from the container's own images, as far as is known.
func (w *world) unsaved(in spec.Instance) string {
	if w.Unlisted.Err != nil {
		return ""
	}
	if in.ID == 0 || !w.matches(in) {
		in.Spec, in.Defaults = w.wanted, spec.DefaultsVersion
	}
	why := "its image is gone"
	for _, i := range named(w.Images, w.Name) {
		problem := w.unfit(i, in)
		if problem == "" {
			return ""
		}
		why = problem
	}
	return why
}

func (w *world) failedPhase(s step) (spec.Phase, string) {
	if s.held.Final {
		return spec.PhaseFailed, s.held.Err.Error()
	}
	return spec.PhaseBackOff, s.held.retryText()
}

func (w *world) runningPhase(in spec.Instance, s step) (spec.Phase, string) {
	switch {
	case !in.Stopping.IsZero():
		return spec.PhaseRunning, fmt.Sprintf("%s was sent; it is killed at %s", in.Stopping.Signal, clock(in.Stopping.Deadline))
	case s.blocked != "":
		return spec.PhaseRunning, s.blocked
	case s.held != nil && s.held.Final:
		return spec.PhaseRunning, "it runs on: " + s.held.Err.Error()
	case s.held != nil:
		return spec.PhaseRunning, "it runs on: " + s.held.retryText()
	}
	if h := w.health(in); !h.Started {
		return spec.PhaseStarting, cmp.Or(h.Message, "its startup probe has not succeeded yet")
	}
	if w.startPending(in) {
		return spec.PhaseStarting, "its postStart has not ended yet"
	}
	if message := w.handMessage(); message != "" || !in.Filling {
		return spec.PhaseRunning, message
	}
	return spec.PhaseRunning, "it runs; its memory is still coming from its image"
}

func (w *world) exitedPhase(in spec.Instance, s step) (spec.Phase, string) {
	exit := w.exit(in)
	_, over := w.over(in, w.wanted)
	switch {
	case s.action != nil:
		return spec.PhaseStarting, exitText(exit)
	case !s.wake.IsZero():
		return spec.PhaseBackOff, fmt.Sprintf("%s; restart %d at %s", exitText(exit), w.Record.Runs.Restarts+1, clock(s.wake))
	case over != "":
		return spec.PhaseFailed, over + w.nextText()
	case requested(exit): // and nothing is done about it
		return spec.PhaseStopped, exitText(exit) + w.nextText()
	case !exit.Failed():
		return spec.PhaseCompleted, strings.TrimPrefix(w.nextText(), "; ")
	}
	return spec.PhaseFailed, exitText(exit) + w.nextText()
}

// nextText says when a job runs next; "" when nobody knows.
func (w *world) nextText() string {
	next := w.jobStatus().Next
	if next.IsZero() {
		return ""
	}
	return "; next run at " + next.Format(time.DateTime)
}

// handMessage tells of a state set by hand.
func (w *world) handMessage() string {
	if w.Record.Override.State == "" {
		return ""
	}
	o := w.Record.Override
	return fmt.Sprintf("%s by hand since %s%s; `reconciler clear %s` returns to the manifest's %s", o.State, clock(o.Since), untilText(o), w.Name, state(w.wanted))
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05Z") }
