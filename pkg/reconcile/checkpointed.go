package reconcile

import "github.com/seed31d4122e/reconciler/pkg/spec"

// saveAll ends what runs in an image. What is of another spec than what is wanted is only ended: nothing could begin from its image.
func (w *world) saveAll() step {
	current, ok := w.current()
	for _, in := range w.Observed {
		switch {
		case !live(in):
		case !in.Stopping.IsZero():
			return w.awaitStop(in, VerbKill)
		case !ok:
			return w.try(w.stopAction(in.ID, w.ownSpec(in), w.replaceCause(in)+": an image of it would be of no use"))
		case in.ID != current.ID:
			return w.try(w.stopAction(in.ID, w.ownSpec(in), w.supersededCause(in, current)))
		default:
			return w.last(w.save(in))
		}
	}
	return step{}
}

// save ends one instance in an image, which is taken as its manifest says now.
func (w *world) save(in spec.Instance) step {
	if update := w.update(in); update.action != nil {
		return update
	}
	return w.try(Action{Verb: VerbCheckpoint, Instance: in.ID, Cause: w.stateCause(), Options: spec.CheckpointOptions{Stop: true}})
}

// ownSpec is the manifest that an instance is stopped by.
func (w *world) ownSpec(in spec.Instance) spec.Container {
	if in.Spec.Metadata.Name == "" {
		return w.Record.Container
	}
	return in.Spec
}
