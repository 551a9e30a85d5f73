package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// goal is what a container should become.
type goal struct {
	text    string
	reached func(o spec.Object, there bool) bool
}

var readyGoal = conditionGoal(spec.ConditionReady, spec.True)

func (g *goal) String() string { return g.text }
func (g *goal) Type() string   { return "GOAL" }

// Set parses condition=TYPE[=STATUS], phase=PHASE or delete.
func (g *goal) Set(text string) error {
	kind, rest, _ := strings.Cut(text, "=")
	switch kind {
	case "delete":
		*g = goal{"delete", func(_ spec.Object, there bool) bool { return !there }}
	case "phase":
		phase := spec.Phase(rest)
		if !slices.Contains(phases, phase) {
			return fmt.Errorf("no phase %q, want one of %v", rest, phases)
		}
		*g = phaseGoal(phase)
	case "condition":
		return g.setCondition(rest)
	default:
		return fmt.Errorf("want condition=TYPE, phase=PHASE or delete")
	}
	return nil
}

func (g *goal) setCondition(text string) error {
	name, status, said := strings.Cut(text, "=")
	if !said {
		status = string(spec.True)
	}
	if !slices.Contains(conditions, spec.ConditionType(name)) {
		return fmt.Errorf("no condition %q, want one of %v", name, conditions)
	}
	if !slices.Contains(statuses, spec.ConditionStatus(status)) {
		return fmt.Errorf("no status %q, want one of %v", status, statuses)
	}
	*g = conditionGoal(spec.ConditionType(name), spec.ConditionStatus(status))
	return nil
}

// conditionGoal is reached when a condition has a status. A condition that is not reported counts as False.
func conditionGoal(t spec.ConditionType, status spec.ConditionStatus) goal {
	text := "condition=" + string(t)
	if status != spec.True {
		text += "=" + string(status)
	}
	return goal{text, func(o spec.Object, there bool) bool {
		c, reported := condition(o, t)
		if !reported {
			c.Status = spec.False
		}
		return there && c.Status == status && o.Status.ObservedGeneration == o.Metadata.Generation
	}}
}

// appliedGoal is reached when g is, by a container that the agent runs as one of the documents says; another one has to go.
func appliedGoal(g goal, wanted *manifests) goal {
	return goal{g.text, func(o spec.Object, there bool) bool {
		return g.reached(o, there) && slices.ContainsFunc(wanted.documents, func(m manifest) bool {
			return m.name() == o.Metadata.Name && wanted.compareOne(o, there, m).Verb == ""
		})
	}}
}

func phaseGoal(wanted ...spec.Phase) goal {
	return goal{"phase=" + string(wanted[0]), func(o spec.Object, there bool) bool {
		return there && slices.Contains(wanted, o.Status.Phase)
	}}
}

var (
	phases = []spec.Phase{
		spec.PhasePending, spec.PhaseStarting, spec.PhaseRunning, spec.PhasePaused, spec.PhaseStopped, spec.PhaseCheckpointed,
		spec.PhaseCompleted,
		spec.PhaseBackOff, spec.PhaseFailed, spec.PhaseTerminating,
	}
	conditions = []spec.ConditionType{
		spec.ConditionReady, spec.ConditionReconciling, spec.ConditionStalled, spec.ConditionAccepted, spec.ConditionDrifted,
		spec.ConditionOutdated, spec.ConditionSuspended, spec.ConditionRolledBack, spec.ConditionCheckpointed, spec.ConditionRestored,
	}
	statuses = []spec.ConditionStatus{spec.True, spec.False, spec.Unknown}
)
