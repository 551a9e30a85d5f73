package reconcile

import (
	"maps"
	"slices"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A circle of what is in force, of which nobody is to blame, hides no other: that is refused, and the manifest before stays.
func TestCircleBesideAnother(t *testing.T) {
	on := func(names ...string) *Desired {
		d := &Desired{}
		for _, name := range names {
			d.Container.Spec.DependsOn = append(d.Container.Spec.DependsOn, spec.Dependency{Name: name})
		}
		return d
	}
	before := map[string]*Desired{"a": on("b"), "b": on("a"), "x": on(), "y": on("x")}
	a := admitter{Request: Request{Incumbents: before}, Admission: Admission{Desired: maps.Clone(before), Problems: map[string]spec.Problems{}}}
	a.Desired["x"], a.Desired["z"] = on("y"), on("z", "a")
	a.circles()
	if _, ok := a.Desired["z"]; ok || len(a.Desired["x"].Container.Spec.DependsOn) > 0 || len(a.Problems[""]) != 2 {
		t.Errorf("in force: %v, problems: %v", slices.Sorted(maps.Keys(a.Desired)), a.Problems)
	}
}
