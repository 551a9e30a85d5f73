package reconcile

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Revisions are the manifests of a container that are remembered, the oldest first and the newest, which its source says, last. fs.ErrNotExist for an unknown name.
func (a *Agent) Revisions(ctx context.Context, name string) (list []spec.Revision, err error) {
	err = a.change(ctx, name, func(n *entry) error {
		list = revisions(n.record)
		return nil
	})
	return list, err
}

// revisions are those of a record.
func revisions(r record.Record) (list []spec.Revision) {
	all := append([]record.Revision{}, r.History...)
	all = append(all, record.Revision{Generation: r.Generation, Container: r.Container, Rollout: r.Rollout})
	for i, revision := range all {
		shown := spec.Revision{Rollout: rollout(record.Record{Generation: revision.Generation, Rollout: revision.Rollout})}
		if i > 0 {
			shown.Changes = diff(all[i-1].Container, revision.Container, spec.DefaultsVersion)
		}
		list = append(list, shown)
	}
	list[len(list)-1].Rollout = rollout(r)
	return list
}

// Undo puts an earlier manifest in force, that of a generation or for 0 the last one before that in force that has proven itself, until the manifest changes or
// somebody clears it. fs.ErrNotExist for an unknown name or a generation that is not remembered.
func (a *Agent) Undo(ctx context.Context, name string, generation int64) error {
	return a.byHand(ctx, name, func(n *entry) error {
		to, ok := n.record.Revision(generation)
		if generation == 0 {
			to, ok = before(n.record).Good()
		}
		switch {
		case generation == n.record.Generation && generation != 0:
			return refuse(fs.ErrInvalid, "generation %d of %q is its manifest\nhint: `reconciler clear %s` returns to it", generation, name, name)
		case !ok && generation == 0:
			return refuse(fs.ErrNotExist, "no earlier manifest of %q has proven itself\nhint: `reconciler rollout history %s` shows what is remembered; name one with --to-revision", name, name)
		case !ok:
			return refuse(fs.ErrNotExist, "generation %d of %q is not remembered\nhint: `reconciler rollout history %s` shows what is", generation, name, name)
		}
		n.record.Rollback = record.Rollback{From: n.record.Generation, To: to.Generation, By: spec.ReturnedByHand, Why: "by hand", Since: now()}
		n.failure = Failure{}
		a.tell(Event{Name: name, Reason: ReasonRolledBack, Message: fmt.Sprintf("generation %d by hand", to.Generation)})
		return nil
	})
}

// before is a record that remembers only what was in force before what is now.
func before(r record.Record) record.Record {
	in, back := r.RolledBack()
	if !back {
		return r
	}
	for i, revision := range r.History {
		if revision.Generation == in.Generation {
			r.History = r.History[:i]
			break
		}
	}
	return r
}

// redo puts the manifest in force again that an earlier one has taken the place of, to prove itself anew from now on.
func redo(r *record.Record, now time.Time) {
	if _, back := r.RolledBack(); back {
		r.Rollback = record.Rollback{}
		r.Rollout = record.Rollout{Accepted: now}
	}
}

// forgetDenied forgets the earlier manifests that a policy does not allow, so that nothing returns to them; one that is in force runs on as it is.
func (a *Agent) forgetDenied(r *record.Record) {
	a.mu.Lock()
	allows := a.Allows
	a.mu.Unlock()
	if allows == nil {
		return
	}
	inForce, _ := r.RolledBack()
	r.History = slices.DeleteFunc(slices.Clone(r.History), func(old record.Revision) bool {
		return old.Generation != inForce.Generation && !allows(old.Container)
	})
}
