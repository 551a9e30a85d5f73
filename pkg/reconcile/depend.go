package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// order is what others mean for a name, by the manifest that its pass goes by. Whether it is to begin or to end is for the plan to say.
func (a *Agent) order(n *entry, desired *Desired) (o Order) {
	o.After = a.after(n)
	if desired == nil {
		return o
	}
	var waits []string
	for _, d := range desired.Container.Spec.DependsOn {
		if why := a.missing(d); why != "" {
			waits = append(waits, why)
			o.Soon = o.Soon || d.Condition == spec.MilestoneCompleted && a.runs(d.Name)
		}
	}
	if group := n.record.Container.Spec.Group; group != "" {
		o.Mate = a.mate(n, group)
	}
	if len(waits) > 0 {
		o.Waits = "waits for " + strings.Join(waits, ", and for ")
	}
	return o
}

// mate says why another container of a group has returned to an earlier manifest, from one that came with this one's.
func (a *Agent) mate(n *entry, group string) string {
	for _, name := range a.members(group) {
		o, err := a.objects.Get(name)
		r := o.Status.Rollout
		if err == nil && name != n.id && r.By == spec.ReturnedByHealth && r.Since.Equal(n.record.Rollout.Accepted) {
			return fmt.Sprintf("%s, which changed with it: %s", name, r.Message)
		}
	}
	return ""
}

// missing says how a dependency is not so far yet; "" when it is. A group is so far when all its containers are.
func (a *Agent) missing(d spec.Dependency) string {
	object, err := a.objects.Get(d.Name)
	if err == nil {
		return behind(object, d.Condition)
	}
	members := a.members(d.Name)
	for _, member := range members {
		object, err := a.objects.Get(member)
		if err != nil {
			return member + ", which was not looked at yet"
		}
		if why := behind(object, d.Condition); why != "" {
			return why
		}
	}
	if members == nil {
		return d.Name + ", for which there is no manifest"
	}
	return ""
}

// runs tells whether a container's process runs, as far as was seen.
func (a *Agent) runs(name string) bool {
	object, err := a.objects.Get(name)
	return err == nil && object.Status.Phase == spec.PhaseRunning
}

// behind says how a container has not reached a milestone; "" when it has.
func behind(o spec.Object, m spec.Milestone) string {
	phase := o.Status.Phase
	reached := false
	switch m {
	case spec.MilestoneStarted:
		reached = phase == spec.PhaseRunning || phase == spec.PhasePaused || phase == spec.PhaseCompleted
	case spec.MilestoneCompleted:
		reached = phase == spec.PhaseCompleted
	default:
		m = spec.MilestoneReady
		reached = o.Status.Container.Ready || phase == spec.PhaseCompleted
	}
	if reached {
		return ""
	}
	return fmt.Sprintf("%s to be %s, which is %s", o.Metadata.Name, m, phase)
}

// ending tells whether what runs of a name is to end. The caller holds mu.
func (a *Agent) ending(n *entry) bool {
	d := n.desired
	switch {
	case n.hold != "" || d != nil && d.Hold != "":
		return false
	case d == nil:
		return n.removed
	case !a.down.IsZero():
		return true
	case n.override.Suspended || d.Container.Spec.Suspend:
		return false
	case n.override.State != "":
		return slices.Contains(endStates, n.override.State)
	}
	return slices.Contains(endStates, state(d.Container))
}

// after says which dependents of a name that are to end as well have processes still, as far as is known.
func (a *Agent) after(n *entry) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var first []string
	for _, id := range a.dependents(n) {
		other := a.names[id]
		if other != nil && a.ending(other) && (!other.far.looked || slices.ContainsFunc(other.observed, live)) && !a.leads(n, id) {
			first = append(first, id)
		}
	}
	if first == nil {
		return ""
	}
	return "waits for " + strings.Join(first, ", ") + " to end first"
}

// leads tells whether a name depends on another by whatever way: a removed manifest may make a circle with a new one. The caller holds mu.
func (a *Agent) leads(from *entry, to string) bool {
	seen := map[string]bool{}
	var walk func(n *entry) bool
	walk = func(n *entry) bool {
		if n == nil || seen[n.id] {
			return false
		}
		seen[n.id] = true
		return slices.ContainsFunc(n.others, func(other string) bool {
			return slices.ContainsFunc(a.called(other), func(id string) bool { return id == to || walk(a.names[id]) })
		})
	}
	return walk(from)
}

// far is what of a status matters to others.
type far struct {
	phase  spec.Phase
	ready  bool // its container's Ready
	live   bool
	looked bool // a pass has seen its instances
}

// neighbours hands out the names to which it matters how far another is.
func (a *Agent) neighbours(n *entry) {
	a.mu.Lock()
	names := a.dependents(n)
	for _, other := range n.others {
		names = append(names, a.called(other)...)
	}
	a.mu.Unlock()
	for _, name := range names {
		a.queue.Add(name)
	}
}
