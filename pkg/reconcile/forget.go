package reconcile

import (
	"context"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
)

// forget drops a name of which no instance is left. What belongs to the name itself, a layer on disk say, may still be there when its
// instances ended with an earlier boot, or for a successor that never came: the node is asked to destroy that as well.
func (a *Agent) forget(ctx context.Context, n *entry) {
	if n.saved != (record.Sum{}) {
		_, err := a.do(ctx, Action{Verb: VerbDestroy, Name: n.id, Instance: max(n.record.NextInstance, 1)})
		if err == nil {
			err = a.Store.Delete(n.id)
		}
		if err != nil {
			a.fail(n, verbForget, err)
			return
		}
	}
	a.drop(n)
}

// orphan drops a name, and leaves to the next look at the node what is there of it.
func (a *Agent) orphan(n *entry) {
	if err := a.Store.Delete(n.id); err != nil {
		a.fail(n, verbForget, err)
		return
	}
	a.tell(Event{Name: n.id, Reason: "Orphaned", Message: "spec.deletionPolicy is Orphan"})
	a.drop(n)
}

// drop takes a name out of everything the agent knows.
func (a *Agent) drop(n *entry) {
	n.saved, n.record, n.failure = record.Sum{}, record.Record{Name: n.id}, Failure{}
	a.objects.Delete(n.id)
	a.prober.Remove(n.id)
	a.queue.Wake(n.id, time.Time{})
	a.neighbours(n)
	a.mu.Lock()
	defer a.mu.Unlock()
	if n.desired == nil {
		a.unfile(n)
		delete(a.names, n.id)
	}
}
