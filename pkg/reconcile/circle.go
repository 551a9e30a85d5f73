package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ReasonDependencyCycle is a reason of Accepted: the newest manifest depends on itself by way of others, and the one before is in force.
const ReasonDependencyCycle = "DependencyCycle"

// circles refuses what closes a circle of dependencies: of the manifests in one that are new, depend on others than before or are in another group, the last
// in the order of files. The others of the circle stay as they are.
func (a *admitter) circles() {
	graph := graphOf(a.Desired)
	for len(graph) > 0 {
		circle := graph.circle()
		if circle == nil {
			return
		}
		last := a.newcomer(circle)
		if last == "" { // all of it is in force, as when what a newer agent held is given back: there is nothing to return to
			graph.cut(circle)
			continue
		}
		a.refuseCircle(last, turned(circle, last))
		graph = graphOf(a.Desired)
	}
}

// Circles are the problems of containers that close circles of dependencies where none of them is in force, as Admit reports them.
func Circles(desired map[string]*Desired) spec.Problems {
	a := admitter{Admission: Admission{Desired: maps.Clone(desired), Problems: map[string]spec.Problems{}}}
	a.circles()
	return a.Problems[""]
}

// newcomer is the member of a circle to refuse, "" when there is none.
func (a *admitter) newcomer(circle []string) (last string) {
	for _, name := range circle {
		before, now := a.Incumbents[name], a.Desired[name]
		if before != nil && before.Container.Spec.Group == now.Container.Spec.Group && reflect.DeepEqual(before.Container.Spec.DependsOn, now.Container.Spec.DependsOn) {
			continue
		}
		if last == "" || a.Desired[last].Origin.before(now.Origin) {
			last = name
		}
	}
	return last
}

func (o Origin) before(other Origin) bool {
	return cmp.Or(cmp.Compare(o.Source, other.Source), cmp.Compare(o.Path, other.Path), cmp.Compare(o.Line, other.Line)) < 0
}

func (a *admitter) refuseCircle(name string, circle []string) {
	refused := a.Desired[name].Origin
	why := "depends on itself: " + strings.Join(circle, " -> ")
	a.Problems[refused.Source] = append(a.Problems[refused.Source], spec.Problem{
		File: refused.Path, Line: refused.Line, Column: 1, Path: "spec.dependsOn", Name: name, Reason: ReasonDependencyCycle,
		Message: fmt.Sprintf("%s: %q %s", ReasonDependencyCycle, name, why), Hint: "remove one of these dependencies",
	})
	if before := a.Incumbents[name]; before != nil {
		a.stay(name, before, Acceptance{spec.False, ReasonDependencyCycle, why})
		return
	}
	delete(a.Desired, name)
}

// turned is a circle from one of its members back to it.
func turned(circle []string, first string) []string {
	i := slices.Index(circle, first)
	return append(append(slices.Clone(circle[i:]), circle[:i]...), first)
}

// graph is on which names each name depends, sorted; only names that depend on some are in it.
type graph map[string][]string

// graphOf are the dependencies of manifests in force, those on a group on all its containers.
func graphOf(desired map[string]*Desired) graph {
	g := graph{}
	var groups map[string][]string
	for name, d := range desired {
		for _, dependency := range d.Container.Spec.DependsOn {
			if desired[dependency.Name] != nil {
				g[name] = append(g[name], dependency.Name)
				continue
			}
			if groups == nil {
				groups = groupsOf(desired)
			}
			g[name] = append(g[name], groups[dependency.Name]...)
		}
		slices.Sort(g[name])
	}
	return g
}

func groupsOf(desired map[string]*Desired) map[string][]string {
	groups := map[string][]string{}
	for name, d := range desired {
		if group := d.Container.Spec.Group; group != "" {
			groups[group] = append(groups[group], name)
		}
	}
	return groups
}

// cut removes a dependency from a circle.
func (g graph) cut(circle []string) {
	first, next := circle[0], circle[1%len(circle)]
	g[first] = slices.DeleteFunc(g[first], func(name string) bool { return name == next })
}

// circle is the first circle there is, in the order of names; nil when there is none.
func (g graph) circle() []string {
	done := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(g)) {
		if circle := g.walk(name, nil, done); circle != nil {
			return circle
		}
	}
	return nil
}

// walk looks for a circle from a name on, to which a path led. Names that are done lead to none.
func (g graph) walk(name string, path []string, done map[string]bool) []string {
	if done[name] {
		return nil
	}
	if i := slices.Index(path, name); i >= 0 {
		return path[i:]
	}
	for _, next := range g[name] {
		if circle := g.walk(next, append(path, name), done); circle != nil {
			return slices.Clone(circle)
		}
	}
	done[name] = true
	return nil
}
