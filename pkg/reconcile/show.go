package reconcile

import "github.com/seed31d4122e/reconciler/pkg/spec"

// show publishes what a plan says of a name.
func (a *Agent) show(n *entry, desired *Desired, observed []spec.Instance, d Decision) {
	shown, before := farOf(d.Status, observed), n.far
	a.mu.Lock()
	n.observed, n.far, n.override = observed, shown, n.record.Override
	n.looked = n.looked || n.failure.Verb != verbObserve
	n.waiting, n.probing = d.Waiting, undecided(d.Status) || n.order.Soon
	if d.Held {
		n.retrying = !n.failure.stalled()
	} else {
		n.retrying = false
	}
	a.dueDeep(n)
	a.mu.Unlock()
	if shown != before {
		defer a.neighbours(n)
	}
	if desired == nil && len(observed) == 0 {
		return
	}
	c := n.record.Container
	if desired != nil {
		c = desired.Container
	}
	c.Metadata.Name = n.id
	object := spec.Object{
		APIVersion: spec.APIVersion, Kind: spec.KindContainer,
		Metadata: spec.ObjectMetadata{Metadata: c.Metadata, Generation: n.record.Generation},
		Spec:     c.Spec, Status: d.Status,
	}
	a.objects.Put(object, now())
	if n.phase != d.Status.Phase && d.Status.Phase == spec.PhaseBackOff {
		a.tell(Event{Name: n.id, Warning: true, Reason: "BackOff", Message: d.Status.Message})
	}
	n.phase = d.Status.Phase
}
