package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// doneReasons are the events of actions done.
var doneReasons = map[string]string{
	VerbCreate: "Created", VerbStart: "Started", VerbStop: "Killing", VerbKill: "Killing", VerbUpdate: "Updated",
	VerbPostStart: "PostStarted", VerbPause: "Paused", VerbResume: "Resumed", VerbDestroy: "Destroyed",
	VerbCheckpoint: "Checkpointed", VerbRestore: "Restored",
	VerbConfigure: "Configured", VerbSignal: "Signalled",
	VerbRepair: "DriftCorrected",
}

// tellDone tells what was done. A start from the command in place of an image is told besides; images of the schedule are told alike, so that
// they are counted.
func (a *Agent) tellDone(action Action, taken spec.Image) {
	e := Event{Name: action.Name, Warning: action.Repair, Reason: doneReasons[action.Verb], Message: action.Cause}
	switch {
	case action.Repair:
		e.Reason = "DriftCorrected"
	case action.Verb == VerbCheckpoint && !action.Scheduled:
		e.Message = fmt.Sprintf("%s; image %s", action.Cause, taken.Ref())
	case action.Origin.Rung == record.RungCold:
		a.tell(Event{Name: action.Name, Warning: true, Reason: record.RungCold, Message: action.Origin.Why})
	case action.Verb == VerbRestore && action.Origin.Why != "":
		e.Message += "; " + action.Origin.Why
	}
	a.tell(e)
}

func (a *Agent) tellFailed(n *entry, verb string, err error) {
	n.outcome = OutcomeFailed
	if loud(n.failure.Count) {
		a.Log.Error(err, "failed", "name", n.id, "verb", verb, "count", n.failure.Count, "final", n.failure.Final)
	} else {
		a.Log.V(1).Info("failed", "name", n.id, "verb", verb, "count", n.failure.Count, "error", err.Error())
	}
	a.tell(Event{Name: n.id, Warning: true, Reason: "Failed" + verb, Message: err.Error()})
}

// loud tells whether what happened so often in a row is worth a line of the log: the first few times, and then ever more seldom.
func loud(count int) bool { return count <= 3 || count&(count-1) == 0 }

// tellAccepted tells what came into force.
func (a *Agent) tellAccepted(n *entry, before record.Record) {
	at := fmt.Sprintf("%s:%d", n.record.Path, n.record.Line)
	switch {
	case n.record.Removed:
		a.tell(Event{Name: n.id, Reason: "ManifestRemoved", Message: at})
	case before.Generation == 0:
		a.tell(Event{Name: n.id, Reason: "ManifestAdded", Message: at})
	default:
		changes := changed(diff(before.Container, n.record.Container, spec.DefaultsVersion))
		a.tell(Event{Name: n.id, Reason: "ManifestChanged", Message: strings.TrimPrefix(changes+" in "+at, " in ")})
	}
}

// tellExit tells of a run that ended, and of kills for want of memory. A kill is told once: by the exit, if it was the end of process 1 and
// nothing told of it before.
func (a *Agent) tellExit(n *entry, before record.Record) {
	kills := killsSince(before.Runs, n.record.Runs)
	exit := n.record.LastExit
	if exit == nil || before.LastExit != nil && *before.LastExit == *exit {
		a.tellKills(n.id, kills)
		return
	}
	e := Event{Name: n.id, Reason: "Exited", Message: fmt.Sprintf("%s (%s)", exitText(*exit), exit.Reason)}
	if exit.Reason == spec.ExitOOMKilled && kills > 0 {
		e.Reason = reasonOOMKilled
		kills--
	}
	e.Warning = exit.Failed() && !requested(*exit)
	a.tellKills(n.id, kills)
	a.tell(e)
}

// tellRollout tells of a manifest that has proven itself, or has not. What failed of one that is not in force any more is forgotten.
func (a *Agent) tellRollout(n *entry, before record.Record) {
	r := n.record
	if r.Rollback != before.Rollback {
		n.failure = Failure{}
		a.wakeMates(r)
	}
	if r.Rollout.Outcome == before.Rollout.Outcome || r.Rollout.Outcome == "" {
		return
	}
	e := Event{Name: n.id, Reason: rolloutReasons[r.Rollout.Outcome], Message: fmt.Sprintf("generation %d", r.Generation)}
	if r.Rollout.Outcome != spec.RolloutHealthy {
		e.Warning = true
		e.Message += ": " + r.Rollout.Message
	}
	if back, ok := r.RolledBack(); ok {
		e.Message += fmt.Sprintf("; back to generation %d", back.Generation)
	}
	a.tell(e)
}

// wakeMates has the others of a group look whether they return with it.
func (a *Agent) wakeMates(r record.Record) {
	if group := r.Container.Spec.Group; group != "" {
		for _, name := range a.members(group) {
			a.queue.Add(name)
		}
	}
}

// rolloutReasons are the events of rollouts.
var rolloutReasons = map[spec.RolloutState]string{
	spec.RolloutHealthy: "RolloutHealthy", spec.RolloutFailed: "RolloutFailed", spec.RolloutRolledBack: ReasonRolledBack,
}

// reasonOOMKilled is the reason of events about kills for want of memory: as many as there were kills.
const reasonOOMKilled = "OOMKilled"

func (a *Agent) tellKills(name string, kills uint64) {
	if kills > 0 {
		a.tell(Event{Name: name, Warning: true, Reason: reasonOOMKilled, Message: "a process was killed for want of memory", Count: int(kills)})
	}
}

// killsSince is how many kills a record has more than the one before.
func killsSince(before, after record.Runs) uint64 {
	if before.Instance != after.Instance {
		return 0
	}
	return after.OOMKills - before.OOMKills
}

// tellSource tells how a source and its files came to be broken or whole.
func (a *Agent) tellSource(before, s Snapshot) {
	switch {
	case !s.OK() && (before.OK() || before.ReadAt.IsZero() || before.Err.Error() != s.Err.Error()):
		a.tell(Event{Warning: true, Reason: "SourceUnavailable", Message: s.Err.Error()})
	case s.OK() && !before.OK() && before.Err != nil:
		a.tell(Event{Reason: "SourceAvailable", Message: s.Source})
	}
	if !s.OK() {
		return
	}
	problems := spec.Problems{}
	for _, f := range s.Files {
		problems = append(problems, f.Problems...)
	}
	a.tellProblems("files of "+s.Source, reasonRejected, problems)
}

// reasonRejected is the reason of events about manifests that have problems.
const reasonRejected = "ManifestRejected"

// tellProblems tells of problems that were not there before.
func (a *Agent) tellProblems(of, reason string, problems spec.Problems) {
	said := map[string]string{}
	for _, p := range problems {
		text := p.Error()
		reason := cmp.Or(p.Reason, reason)
		said[text] = reason
		if a.told[of][text] == "" {
			e := Event{Name: p.Name, Warning: true, Reason: reason, Message: text}
			if p.Kind != "" {
				e.Name = "" // of a config
			}
			a.tell(e)
		}
	}
	a.told[of] = said
}

// tellAdmission tells of names claimed twice and removals held back. The caller holds intake.
func (a *Agent) tellAdmission(admission Admission) {
	for _, s := range a.sources {
		a.tellProblems("names of "+s.Source, reasonRejected, admission.Problems[s.Source])
	}
	blocked := spec.Problems{}
	for _, source := range slices.Sorted(maps.Keys(admission.Blocked)) {
		blocked = append(blocked, spec.Problem{File: source, Message: "removed: " + strings.Join(admission.Blocked[source], ", ")})
	}
	a.tellProblems("blocked", ReasonPruneBlocked, blocked)
}
