package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// namedChanges is how many fields a cause names before it counts the rest.
const namedChanges = 3

func (w *world) creationCause() string {
	if w.Record.NextInstance > 1 {
		return "no instance is left"
	}
	return "new manifest"
}

// stateCause says why the state is what is wanted.
func (w *world) stateCause() string {
	if !w.Down.IsZero() {
		return w.Down.cause()
	}
	if w.Record.Override.State != "" {
		return fmt.Sprintf("state is %s by hand", w.state())
	}
	return fmt.Sprintf("spec.state is %s", w.state())
}

// replaceCause names the fields by which the wanted container differs from an instance.
func (w *world) replaceCause(in spec.Instance) string {
	if in.Spec.Metadata.Name == "" {
		return fmt.Sprintf("instance %d was created from another spec, which is lost", in.ID)
	}
	changes := diff(in.Spec, w.wanted, in.Defaults)
	return changed(slices.DeleteFunc(changes, func(c spec.Change) bool { return c.Class != spec.ClassReplace }))
}

// supersededCause says why an instance has to make room for another.
func (w *world) supersededCause(in, current spec.Instance) string {
	if w.matches(in) {
		return fmt.Sprintf("instance %d is there as well", current.ID)
	}
	return w.replaceCause(in)
}

// liveCause names the fields that an instance can take over in place; "" when there are none. The state is no such
// field: it is reached by actions of its own.
func (w *world) liveCause(in spec.Instance) string {
	changes := diff(in.Spec, w.wanted, in.Defaults)
	return changed(slices.DeleteFunc(changes, func(c spec.Change) bool { return c.Class != spec.ClassLive || c.Path == "state" }))
}

// diff compares what two manifests mean under a version of the defaults.
func diff(a, b spec.Container, defaults int) []spec.Change {
	return spec.Diff(spec.Defaulted(a, defaults), spec.Defaulted(b, defaults))
}

func changed(changes []spec.Change) string {
	if len(changes) == 0 {
		return ""
	}
	var names []string
	for _, c := range changes {
		if path := fieldPath(c.Path); !slices.Contains(names, path) {
			names = append(names, path)
		}
	}
	if more := len(names) - namedChanges; more > 0 {
		return fmt.Sprintf("%s and %d more changed", strings.Join(names[:namedChanges], ", "), more)
	}
	return strings.Join(names, ", ") + " changed"
}

// fieldPath is the path of a change from the manifest's top, up to the list it is in: spec.command.
func fieldPath(path string) string {
	path, _, _ = strings.Cut(path, "[")
	if strings.HasPrefix(path, "metadata.") {
		return path
	}
	return "spec." + path
}

// driftCause names the limits that the kernel has otherwise than asked: memory.max drifted: kernel 1Gi, wanted 512Mi.
func driftCause(in spec.Instance) string {
	var kernel, wanted spec.Container
	kernel.Spec.Resources, wanted.Spec.Resources = in.Resources, in.Wanted
	var texts []string
	for _, c := range spec.Diff(kernel, wanted) {
		texts = append(texts, fmt.Sprintf("%s drifted: kernel %s, wanted %s", strings.TrimPrefix(c.Path, "resources."), said(c.Old), said(c.New)))
	}
	return strings.Join(texts, "; ")
}

func said(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// The wait between repairs of one container: whoever changes it may be a program.
const (
	freeRepairs = 3 // are done at once
	firstRepair = time.Second
	lastRepair  = time.Minute
)

// driftDue is when something may be repaired again.
func driftDue(d record.Drift, now time.Time) time.Time {
	switch {
	case d.Last.After(now): // the clock was set back
		return time.Time{}
	case d.Failures > 0:
		return d.Last.Add(doubled(firstRepair, d.Failures-1, lastRepair))
	case d.Count < freeRepairs:
		return time.Time{}
	}
	return d.Last.Add(doubled(firstRepair, d.Count-freeRepairs, lastRepair))
}
