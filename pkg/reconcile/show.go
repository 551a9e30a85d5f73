package reconcile

import (
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// show publishes what a plan says of a name, and has those look to whom that matters.
func (a *Agent) show(n *entry, desired *Desired, observed []spec.Instance, d Decision) {
	shown := far{
		d.Status.Phase, d.Status.Container.Ready, slices.ContainsFunc(observed, live),
		n.far.looked || n.failure.Verb != verbObserve,
	}
	if shown != n.far {
		defer a.neighbours(n)
	}
	a.noteShown(n, observed, shown, d)
	if desired == nil && len(observed) == 0 {
		return
	}
	a.objects.Put(n.object(desired, d.Status), now())
	a.converge(n, d.Status)
	phase := d.Status.Phase
	if n.phase != phase && (phase == spec.PhaseBackOff || phase == spec.PhaseFailed && n.phase != "") {
		a.tell(Event{Name: n.id, Warning: true, Reason: string(phase), Message: d.Status.Message})
	}
	n.phase = phase
}

// noteShown notes what others may have to know of a name: see entry.
func (a *Agent) noteShown(n *entry, observed []spec.Instance, shown far, d Decision) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n.observed, n.far, n.override = observed, shown, n.record.Override
	n.waiting, n.probing = d.Waiting, undecided(d.Status) || n.order.Soon
	n.retrying = d.Held && !n.failure.stalled()
	a.dueDeep(n)
}

// object is what to show of a name: its manifest in force, or the last one, with a status.
func (n *entry) object(desired *Desired, status spec.Status) spec.Object {
	c := n.record.Container
	if desired != nil {
		c = desired.Container
	}
	c.Metadata.Name = n.id
	return spec.Object{
		APIVersion: spec.APIVersion, Kind: spec.KindContainer,
		Metadata: spec.ObjectMetadata{Metadata: c.Metadata, Generation: n.record.Generation},
		Spec:     c.Spec, Status: status,
	}
}
