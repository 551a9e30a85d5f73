package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Deep is what a deep look found of one run, the one that start number Starts of an instance began.
type Deep struct {
	Instance uint64
	Starts   int
	Drifts   []spec.Drift
	// Found are Drifts and what was repaired of them since: what a later look finds again is told once.
	Found []spec.Drift
	// Rested is the phase in which the latest pass left the run that had nothing more to do about it; what is in another one later was changed by hand.
	Rested spec.InstancePhase
}

// of tells whether it is about the run of an instance.
func (d Deep) of(in spec.Instance) bool {
	return d.Instance == in.ID && d.Starts == in.Starts && live(in)
}

// without is what was found but for some fields.
func (d Deep) without(fields []string) (left []spec.Drift) {
	for _, one := range d.Drifts {
		if !slices.Contains(fields, one.Field) {
			left = append(left, one)
		}
	}
	return left
}

// repair puts back what a deep look found, as far as the node can. What ends, and what nobody may touch, is left.
func (w *world) repair(in spec.Instance) step {
	if !w.Deep.of(in) || !in.Stopping.IsZero() {
		return step{}
	}
	a := Action{Verb: VerbRepair, Instance: in.ID, Repair: true}
	var causes []string
	for _, d := range w.Deep.Drifts {
		if d.Repairable {
			a.Fields, causes = append(a.Fields, d.Field), append(causes, d.String())
		}
	}
	if len(a.Fields) == 0 {
		return step{}
	}
	if due := driftDue(w.Record.Drift, w.now); due.After(w.now) {
		return wait(due)
	}
	a.Cause = strings.Join(causes, "; ")
	return w.try(a)
}

// refreeze pauses or resumes. What was paused or resumed by hand is put back no faster than other drift, and says so.
func (w *world) refreeze(in spec.Instance, a Action) step {
	if !w.Deep.of(in) || w.Deep.Rested == "" || w.Deep.Rested == in.Phase || (w.Deep.Rested == spec.InstancePaused) != (a.Verb == VerbPause) {
		return w.try(a)
	}
	d := freezerDrift(in)
	if due := driftDue(w.Record.Drift, w.now); due.After(w.now) {
		return wait(due)
	}
	a.Cause, a.Repair, a.Fields = fmt.Sprintf("%s; %s", d, a.Cause), true, []string{d.Field}
	return w.try(a)
}

// freezerDrift is what was done by hand to what is frozen or not.
func freezerDrift(in spec.Instance) spec.Drift {
	words := []string{"thawed", "frozen"}
	if in.Phase == spec.InstancePaused {
		slices.Reverse(words)
	}
	return spec.Drift{Field: "cgroup.freeze", Found: words[0], Wanted: words[1], Repairable: true}
}

// limitDrifts are the limits that the kernel has otherwise than asked.
func limitDrifts(in spec.Instance) (list []spec.Drift) {
	var kernel, wanted spec.Container
	kernel.Spec.Resources, wanted.Spec.Resources = in.Resources, in.Wanted
	for _, c := range spec.Diff(kernel, wanted) {
		list = append(list, spec.Drift{Field: c.Path, Found: c.Old, Wanted: c.New, Repairable: true})
	}
	return list
}

// differs says what of an instance is not as it should be, "" for nothing.
func (w *world) differs(in spec.Instance) string {
	var texts []string
	if !in.Resources.Equal(in.Wanted) {
		texts = append(texts, driftCause(in))
	}
	if w.Deep.of(in) {
		for _, d := range w.Deep.Drifts {
			texts = append(texts, d.String())
		}
	}
	return strings.Join(texts, "; ")
}
