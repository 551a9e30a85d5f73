package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// phaseColours tells what needs a look: what is not in the table is on its way.
var phaseColours = map[spec.Phase]colour{
	spec.PhaseRunning:      green,
	spec.PhasePaused:       blue,
	spec.PhaseStopped:      dim,
	spec.PhaseCheckpointed: blue,
	spec.PhaseCompleted:    dim,
	spec.PhaseBackOff:      red,
	spec.PhaseFailed:       red,
}

func phaseColour(p spec.Phase) colour {
	if c, ok := phaseColours[p]; ok {
		return c
	}
	return yellow
}

// message is what a person should know of a container, in one line: first why its newest manifest is not in force.
func message(o spec.Object) string {
	parts := []string{}
	if c, ok := condition(o, spec.ConditionAccepted); ok && c.Status != spec.True {
		text, _, _ := strings.Cut(c.Message, hintMark)
		parts = append(parts, c.Reason+": "+text)
	}
	if c, ok := condition(o, spec.ConditionSuspended); ok && c.Status == spec.True && c.Message != o.Status.Message {
		parts = append(parts, c.Message)
	}
	switch override := o.Status.Override; {
	case o.Status.Message != "":
		text, _, _ := strings.Cut(o.Status.Message, hintMark)
		parts = append(parts, text)
	case ready(o) != "":
		parts = append(parts, ready(o))
	case override.State != "":
		parts = append(parts, fmt.Sprintf("%s by hand for %s; see `reconciler clear`", override.State, age(override.Since)))
	}
	return strings.Join(parts, "; ")
}

// ready says why a container is not ready; "" when it is, or nobody knows.
func ready(o spec.Object) string {
	c, _ := condition(o, spec.ConditionReady)
	text, _, _ := strings.Cut(c.Message, hintMark)
	if c.Status == spec.True || text == "" {
		return ""
	}
	return c.Reason + ": " + text
}

func condition(o spec.Object, t spec.ConditionType) (spec.Condition, bool) {
	i := slices.IndexFunc(o.Status.Conditions, func(c spec.Condition) bool { return c.Type == t })
	if i < 0 {
		return spec.Condition{}, false
	}
	return o.Status.Conditions[i], true
}

// wanted is the state that the manifest, or the override over it, asks for.
func wanted(o spec.Object) string {
	return string(cmp.Or(o.Status.Override.State, o.Spec.State, spec.StateRunning))
}

func exitText(e *spec.Exit) string {
	if e == nil {
		return ""
	}
	code := fmt.Sprint(e.Code)
	if e.Reason == spec.ExitUnknown {
		code = "?"
	}
	if e.Signal != "" {
		code = e.Signal
	}
	text := e.Reason + " " + code
	if e.OOMKilled && e.Reason != spec.ExitOOMKilled {
		text += " (OOM)"
	}
	if ago := age(e.FinishedAt); ago != "" {
		text += " " + ago + " ago"
	}
	return text
}

func labelText(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, key+"="+labels[key])
	}
	return strings.Join(parts, ",")
}

func sourceText(s spec.Source) string {
	if s.Line == 0 {
		return s.Path
	}
	return fmt.Sprintf("%s:%d", s.Path, s.Line)
}

// dash is a number, or - for none.
func dash[T int | uint64](n T) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
