package simnode

import (
	"fmt"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// returned is the container of an earlier manifest that a record says is in force, in the state of the newest.
func returned(r record.Record) *spec.Container {
	if r.Rollback.To == 0 || r.Rollback.From != r.Generation {
		return nil
	}
	for _, revision := range r.History {
		if revision.Generation == r.Rollback.To {
			c := revision.Container
			c.Spec.State, c.Spec.Suspend, c.Spec.DeletionPolicy = r.Container.Spec.State, r.Container.Spec.Suspend, r.Container.Spec.DeletionPolicy
			return &c
		}
	}
	return nil
}

// rollsBack tells whether a manifest asks to be replaced by an earlier one.
func rollsBack(s spec.ContainerSpec) bool {
	return s.Update.OnFailure == spec.FailureRollback || s.Update.OnFailure == "" && (s.Update.HealthyWithin > 0 || s.Probes.Startup != nil || s.Probes.Readiness != nil)
}

// returns says why a manifest may not have proven itself, and why an earlier one may not have taken its place, by what is written down.
func (o *Oracle) returns(before, now record.Record) string {
	if now.Rollout.Outcome == spec.RolloutHealthy && before.Rollout.Outcome != spec.RolloutHealthy && before.Generation == now.Generation {
		f, enough := o.far[now.Name], time.Duration(now.Container.Spec.Updating().HealthyFor)
		done := now.Job.Completed != "" && !f.up.on
		switch {
		case returned(before) != nil && returned(now) != nil:
			return fmt.Sprintf("generation %d has proven itself, but %d is in force", now.Generation, now.Rollback.To)
		case !done && !f.completed.lasted(seen) && !f.ended.lasted(seen) && !now.Container.Spec.Job.Scheduled() && !(f.runs.lasted(seen) && max(time.Since(f.runs.since), f.runs.last) >= enough): // what a full disk did not take is written down in the next run
			return fmt.Sprintf("generation %d has proven itself, but did not run for %v", now.Generation, enough)
		}
	}
	b := now.Rollback
	if b == before.Rollback || b.From != now.Generation || b.To == 0 {
		return ""
	}
	newest := int64(0)
	for _, r := range now.History {
		if r.Rollout.Outcome == spec.RolloutHealthy {
			newest = r.Generation
		}
	}
	switch update := now.Container.Spec.Updating(); {
	case b.By == spec.ReturnedByHand && !o.handled(now.Name):
		return "somebody is said to have returned to an earlier manifest"
	case b.By == spec.ReturnedByHand:
	case now.Container.Spec.Group != "": // it may return with another of its group
	case !rollsBack(now.Container.Spec):
		return "the manifest does not ask for an earlier one when it fails"
	case b.To != newest:
		return fmt.Sprintf("generation %d is returned to, but %d is the last that has proven itself", b.To, newest)
	case time.Since(now.Rollout.Accepted) < time.Duration(update.HealthyWithin) && now.LastExit == nil && now.Container.Spec.Rootfs.Path != Nowhere:
		return "the manifest has not failed"
	}
	return ""
}

// alone says why nothing may be done about what is suspended or orphaned.
func (o *Oracle) alone(verb string, c trial) string {
	r := o.ledger.records[c.name]
	byHand := r.Override.Suspended && time.Since(r.Override.Since) > lag && (r.Override.Until.IsZero() || time.Now().Before(r.Override.Until))
	switch {
	case c.down || c.handled || verb == "RemoveImages":
	case r.Removed && r.Container.Spec.DeletionPolicy == spec.DeletionOrphan && c.removed():
		return "it is to be left as it is"
	case c.removed():
	case byHand, c.surely(func(v spec.Container) bool { return v.Spec.Suspend }):
		return "it is suspended"
	}
	return ""
}

// Returned are the names for which an earlier manifest is in force.
func (o *Oracle) Returned() (names []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, r := range o.ledger.records {
		if returned(r) != nil && !o.ledger.held[name] && !r.Removed {
			names = append(names, name)
		}
	}
	return names
}

// EndedBefore tells whether a name's latest run had ended when its newest manifest came, which does not start again what has ended so: it cannot prove
// itself.
func (o *Oracle) EndedBefore(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.ledger.records[name]
	return r.LastExit != nil && !r.LastExit.FinishedAt.After(r.Rollout.Accepted) && !r.Container.Spec.Restart.After(*r.LastExit)
}
