package simnode

import (
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ends tells whether a name is to end for sure, and has been for a while: it is removed, to be stopped, or goes down with the node.
func (o *Oracle) ends(name string) bool {
	all := o.history[name]
	r, known := o.ledger.records[name]
	switch {
	case len(all) == 0 || o.ledger.held[name] || o.handled(name) || o.blinded(name):
		return false
	case o.down.on:
		return time.Since(o.down.since) > lag && all[len(all)-1].Container != nil
	}
	last := all[len(all)-1]
	if time.Since(last.From) < lag {
		return false
	}
	if last.Container == nil {
		return known && r.Removed && !r.Override.Suspended
	}
	return last.Container.Spec.State == spec.StateStopped && !last.Container.Spec.Suspend && !r.Override.Suspended
}

// drains tells whether a name is asked to end for no other reason than that the node is drained, which all end for.
func (o *Oracle) drains(c trial) bool {
	return o.down.on && !c.beyond && len(c.others) == 0 && len(c.versions) == 1 && c.in.Spec.Metadata.Name != "" &&
		c.surely(func(v spec.Container) bool { return runs(v) && sameFrozen(v, c.in.Spec) })
}

// settled tells whether what is asked for of a name is known to every agent.
func (o *Oracle) settled(name string) bool {
	all := o.history[name]
	return len(all) > 0 && all[len(all)-1].Container != nil && time.Since(all[len(all)-1].From) > lag && !o.ledger.held[name] && !o.handled(name) && !o.blinded(name)
}

// before says who depends on a name that is asked to end, is to end as well, and was not asked yet.
func (o *Oracle) before(verb string, c trial) string {
	if verb != "Stop" && verb != "Suspend" || c.handled || o.down.on && !o.downBy.IsZero() {
		return ""
	}
	ends := o.ends
	if o.drains(c) {
		ends = o.settled
	}
	if !ends(c.name) {
		return ""
	}
	for name, f := range o.far {
		if name == c.name || !f.up.on || f.asked || !ends(name) || time.Since(f.up.since) < seen {
			continue
		}
		depends := slices.ContainsFunc(o.last(name).Spec.DependsOn, func(d spec.Dependency) bool {
			return d.Name == c.name || o.history[d.Name] == nil && d.Name == o.last(c.name).Spec.Group
		})
		if depends {
			return name + " depends on it, is to end as well, and was not asked to"
		}
	}
	return ""
}
