package reconcile

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// observe looks at the whole node and hands out every name that is not as the latest pass saw it. Only passes say what is seen
// of a name; this says where to look, and at how many names nobody was going to.
func (a *Agent) observe(ctx context.Context) (news int, err error) {
	instances, err := a.Node.Observe(ctx)
	if err != nil {
		return 0, fmt.Errorf("cannot observe the node: %w", err)
	}
	shown := map[string][]spec.Instance{}
	for rest := instances; len(rest) > 0; { // those of a name follow each other
		count := 1
		for count < len(rest) && rest[count].Name == rest[0].Name {
			count++
		}
		shown[rest[0].Name] = rest[:count:count]
		rest = rest[count:]
	}
	a.adopt(shown)
	for _, id := range a.differing(shown) {
		if a.queue.Offer(id) {
			news++
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.relisted = now()
	return news, nil
}

// adopt makes incumbents of names that no record and no manifest knows, so that they are never taken for removed.
func (a *Agent) adopt(shown map[string][]spec.Instance) {
	a.intake.Lock()
	defer a.intake.Unlock()
	if a.adoptAll(shown) {
		a.admit()
	}
}

// orphanHold is why nothing is done about a name that is only there.
const orphanHold = "no manifest and no record says what it should do"

func (a *Agent) adoptAll(shown map[string][]spec.Instance) (news bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, instances := range shown {
		n := a.names[id]
		if n != nil && (n.desired != nil || n.removed) || a.admission.Desired[id] != nil {
			continue
		}
		d := &Desired{Container: instances[len(instances)-1].Spec, Hold: orphanHold}
		a.admission.Desired[id] = d
		n = a.entry(id)
		n.desired = d
		a.file(n, d.Container)
		news = true
	}
	return news
}

// differing are the names that are not as the latest pass saw them.
func (a *Agent) differing(shown map[string][]spec.Instance) (ids []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, n := range a.names {
		if !n.far.looked || len(n.observed)+len(shown[id]) > 0 && !reflect.DeepEqual(n.observed, shown[id]) {
			ids = append(ids, id)
		}
	}
	return ids
}

// follow hands out the names that the node hints at.
func (a *Agent) follow(ctx context.Context, hints <-chan spec.Event) {
	for {
		select {
		case hint, ok := <-hints:
			switch {
			case !ok:
				return
			case pressureWords[hint.Kind].waits != "":
				a.tellPressure(hint)
			case hint.Name != "" && hint.Kind != spec.EventLost:
				a.queue.Add(hint.Name)
			default:
				_, _ = a.look(ctx, "hint")
			}
		case <-ctx.Done():
			return
		}
	}
}

// relist looks at the whole node every so often; on a node that is slow to look at, less often.
func (a *Agent) relist(ctx context.Context) {
	for pause := a.Relist; sleep(ctx, pause); {
		a.keepTime()
		began := time.Now()
		missed, err := a.look(ctx, "relist")
		took := time.Since(began)
		a.Meter.Relisted(took, missed, err)
		a.wakeDeep()
		pause = max(a.Relist, min(share*took, slowestRelist))
		a.events.Forget(now().Add(-forgetAfter), a.known)
	}
}

// slowestRelist is how long a change that no event tells of may go unseen at most.
const slowestRelist = time.Minute

// sleep waits; it tells whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// forgetAfter is how long the events of a name are kept of which nothing is left.
const forgetAfter = time.Hour

func (a *Agent) known(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.names[id] != nil
}

// look is observe for those who go on without.
func (a *Agent) look(ctx context.Context, why string) (news int, err error) {
	a.pulse.allow(pulseLook+why, "", patience)
	defer a.pulse.end(pulseLook + why)
	if news, err = a.observe(ctx); err != nil && ctx.Err() == nil {
		a.Log.Error(err, "relist failed")
		a.tell(Event{Warning: true, Reason: "NodeUnavailable", Message: err.Error()})
	}
	return news, err
}

// enqueueAll hands out every name there is.
func (a *Agent) enqueueAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range a.names {
		a.queue.Add(id)
	}
}

// settled tells whether nothing will change without a new manifest, an event or a long wait.
func (a *Agent) settled() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.admission.settling() || len(a.configs.Missing) > 0 || !a.queue.Idle() {
		return false
	}
	for _, n := range a.names {
		if !n.far.looked || n.waiting || n.retrying || n.probing {
			return false
		}
	}
	return true
}
