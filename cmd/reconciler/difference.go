package main

import (
	"maps"
	"path/filepath"
	"slices"
	"sort"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// difference is what a set of manifests would change of one container.
type difference struct {
	Name string `json:"name"`
	// Verb is create, update (in place), replace or remove.
	Verb    string        `json:"verb"`
	Source  string        `json:"source,omitzero"`
	Changes []spec.Change `json:"changes,omitempty"`
}

// The verbs of a difference.
const (
	verbCreate  = "create"
	verbUpdate  = "update"
	verbReplace = "replace"
	verbRemove  = "remove"
)

// compare is what differs from the objects of an agent to manifests, by name. What only says a default is no difference.
// Objects that the manifests do not have are removed, if these are of directories.
func compare(objects []spec.Object, wanted *manifests) []difference {
	before := map[string]spec.Object{}
	for _, o := range objects {
		before[o.Metadata.Name] = o
	}
	var all []difference
	for _, m := range wanted.documents {
		o, there := before[m.name()]
		delete(before, m.name())
		if d := wanted.compareOne(o, there, m); d.Verb != "" {
			all = append(all, d)
		}
	}
	if len(wanted.dirs) == 0 {
		clear(before)
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		all = append(all, difference{Name: name, Verb: verbRemove, Source: sourceText(before[name].Status.Source)})
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

func (wanted *manifests) compareOne(o spec.Object, there bool, m manifest) difference {
	d := difference{Name: m.name(), Source: sourceText(spec.Source{Path: m.File, Line: m.Line})}
	if !there {
		d.Verb = verbCreate
		return d
	}
	accepted := spec.Container{Metadata: o.Metadata.Metadata, Spec: o.Spec}
	d.Changes = spec.Diff(spec.Defaulted(accepted, spec.DefaultsVersion), spec.Defaulted(m.Container, spec.DefaultsVersion))
	d.Changes = append(d.Changes, wanted.changes(o, m.Container)...)
	switch {
	case len(d.Changes) == 0:
	case slices.ContainsFunc(d.Changes, func(c spec.Change) bool { return c.Class == spec.ClassReplace }):
		d.Verb = verbReplace
	default:
		d.Verb = verbUpdate
	}
	return d
}

// fromSource are the objects that were read from a directory, given by its absolute path.
func fromSource(objects []spec.Object, dir string) []spec.Object {
	return slices.DeleteFunc(slices.Clone(objects), func(o spec.Object) bool { return !isFrom(o, dir) })
}

func isFrom(o spec.Object, dir string) bool {
	return filepath.Dir(o.Status.Source.Path) == filepath.Clean(dir)
}
