package simnode

import (
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// round tells which names may be in circles of dependencies, by what is asked for of them and what is written down. Of those nobody can say
// which manifest is in force.
func (o *Oracle) round() {
	next := map[string][]string{}
	for name, all := range o.history {
		var depends []spec.Dependency
		for _, v := range all[max(0, len(all)-4):] { // some of them in a row may have been refused, or never seen
			if v.Container != nil {
				depends = append(depends, v.Container.Spec.DependsOn...)
			}
		}
		depends = append(depends, o.ledger.records[name].Container.Spec.DependsOn...)
		for _, d := range depends {
			next[name] = append(next[name], d.Name)
			for other := range o.history {
				if o.last(other).Spec.Group == d.Name || o.ledger.records[other].Container.Spec.Group == d.Name {
					next[name] = append(next[name], other)
				}
			}
		}
	}
	for name := range o.history {
		o.circled[name] = o.circled[name].set(leads(next, name, name, nil))
	}
}

func leads(next map[string][]string, from, to string, seen []string) bool {
	return slices.ContainsFunc(next[from], func(n string) bool {
		if n == to {
			return true
		}
		return !slices.Contains(seen, n) && leads(next, n, to, append(slices.Clone(seen), n))
	})
}

// Circle gives a name that depends on itself by what was accepted and written down, "" for none: that of such a circle which was put last is never in force.
// What a newer agent had for a while may close one when it is given back: all of it is in force already.
func (o *Oracle) Circle() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	next, groups := map[string][]string{}, map[string][]string{}
	counts := func(name string) bool {
		_, held := o.ledger.held[name]
		return !held && !o.ledger.records[name].Removed
	}
	for name, r := range o.ledger.records {
		if g := r.Container.Spec.Group; g != "" && counts(name) {
			groups[g] = append(groups[g], name)
		}
	}
	for name, r := range o.ledger.records {
		if !counts(name) {
			continue
		}
		for _, d := range r.Container.Spec.DependsOn {
			next[name] = append(append(next[name], d.Name), groups[d.Name]...)
		}
	}
	for name := range next {
		if leads(next, name, name, nil) {
			return name
		}
	}
	return ""
}
