package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Checkpoint takes an image of what runs, in the turn of its name, and gives it. With o.Stop the state is Checkpointed by hand from then
// on, as far as that succeeds. fs.ErrNotExist for an unknown name, spec.ErrNotRunning when there is no process, errors.ErrUnsupported for what
// cannot be saved.
func (a *Agent) Checkpoint(ctx context.Context, name string, o spec.CheckpointOptions) (taken spec.Image, err error) {
	o.Cause = cmp.Or(o.Cause, "asked for by hand")
	if o.Stop {
		return a.suspendByHand(ctx, name, o)
	}
	err = a.byHand(ctx, name, func(n *entry) error {
		taken, err = a.takeByHand(ctx, n, o)
		return err
	})
	return taken, err
}

// suspendByHand has a container, and those of its group that are not to be stopped, end in an image. If that fails they run on, and go on as they were.
func (a *Agent) suspendByHand(ctx context.Context, name string, o spec.CheckpointOptions) (taken spec.Image, err error) {
	object, err := a.Object(name)
	if err != nil {
		return taken, err
	}
	names := []string{name}
	if object.Spec.Group != "" {
		names = a.frozenWith(object)
	}
	before := map[string]spec.Override{}
	for _, member := range names {
		defer a.queue.Add(member)
		if err == nil {
			err = a.setOverride(ctx, member, spec.Override{State: spec.StateCheckpointed, Since: now()}, before)
		}
	}
	if err == nil {
		err = a.change(ctx, name, func(n *entry) error {
			if taken, err = a.takeByHand(ctx, n, o); err != nil {
				n.record.Override = before[name] // before the next turn, which would do what nobody wants any more
			}
			return err
		})
	}
	if err == nil {
		return taken, nil
	}
	for member, override := range before {
		err = errors.Join(err, a.setOverride(context.WithoutCancel(ctx), member, override, nil))
	}
	return taken, err
}

// setOverride sets what is said by hand, and notes what was said before.
func (a *Agent) setOverride(ctx context.Context, name string, override spec.Override, before map[string]spec.Override) error {
	return a.change(ctx, name, func(n *entry) error {
		if before != nil {
			before[name] = n.record.Override
		}
		n.record.Override = override
		return nil
	})
}

// takeByHand takes an image in the turn of its name.
func (a *Agent) takeByHand(ctx context.Context, n *entry, o spec.CheckpointOptions) (spec.Image, error) {
	leave, err := a.groups.Enter(ctx, n.record.Container.Spec.Group)
	if err != nil {
		return spec.Image{}, err
	}
	defer leave()
	in, ok, err := a.newest(ctx, n)
	switch {
	case err != nil:
		return spec.Image{}, err
	case o.Stop && in.Exit != nil && in.Exit.Reason == spec.ExitCheckpointed:
		return a.endedIn(ctx, in)
	case !ok || !live(in):
		return spec.Image{}, refuse(spec.ErrNotRunning, "container %q does not run\nhint: `reconciler describe %s` says why", n.id, n.id)
	}
	action := Action{Name: n.id, Verb: VerbCheckpoint, Instance: in.ID, Cause: o.Cause, Options: o}
	if o.Stop {
		n.record.Intent = record.Intent{Verb: VerbCheckpoint, Instance: in.ID, Cause: o.Cause, Since: now()}
		if err := a.save(n); err != nil {
			return spec.Image{}, err
		}
	}
	taken, err := a.doWhile(ctx, action) // whoever asked for it may not want it any more
	if err != nil {
		a.tellFailed(n, VerbCheckpoint, err)
		return taken, err
	}
	noteTaken(&n.record, nil, now())
	a.tellDone(action, taken)
	return taken, nil
}

// endedIn is the image that the latest run of an instance ended in: a pass was there first, or it was so before.
func (a *Agent) endedIn(ctx context.Context, in spec.Instance) (spec.Image, error) {
	all, err := a.Node.Images(ctx, in.Name)
	for _, i := range named(all, in.Name) {
		if i.IsOf(in) {
			return i, nil
		}
	}
	return spec.Image{}, cmp.Or(err, refuse(fs.ErrNotExist, "the image that %q ended in is gone", in.Name))
}

// Restore begins a new run from an image, NAME/ID, NAME for the newest good one of another container, or "" for that of its own, once what runs has
// ended by its own stop; a state by hand that speaks against it ends. It returns when that is written down. fs.ErrNotExist for an unknown name or
// image, fs.ErrInvalid for an image that is of no use to it.
func (a *Agent) Restore(ctx context.Context, name, image string) error {
	return a.byHand(ctx, name, func(n *entry) error {
		desired, removed := a.wants(n)
		if desired == nil || removed {
			return refuse(fs.ErrNotExist, "the manifest of container %q was removed", name)
		}
		chosen, in, err := a.imageFor(ctx, n, desired, image)
		if err != nil {
			return err
		}
		n.record.Images.Bad = withBad(n.record.Images.Bad, record.BadImage{Image: chosen.Ref()})
		n.record.Restore = record.Restore{Image: chosen.Ref(), Instance: in.ID, Starts: in.Starts}
		n.failure = Failure{}
		if slices.Contains(endStates, n.record.Override.State) {
			n.record.Override = spec.Override{}
		}
		if slices.Contains(endStates, state(desired.Container)) {
			n.record.Override = spec.Override{State: spec.StateRunning, Since: now()}
		}
		a.tell(Event{Name: name, Reason: "RestoreRequested", Message: chosen.Ref()})
		return nil
	})
}

// imageFor is the image that somebody names for a container, and the instance whose run it is to take the place of.
func (a *Agent) imageFor(ctx context.Context, n *entry, desired *Desired, image string) (chosen spec.Image, in spec.Instance, err error) {
	of, _, _ := strings.Cut(cmp.Or(image, n.id), "/")
	all, err := a.Node.Images(ctx, of)
	if err != nil {
		return chosen, in, fmt.Errorf("cannot list the images of %q: %w", of, err)
	}
	in, ok, err := a.newest(ctx, n)
	if err != nil {
		return chosen, in, err
	}
	w := newWorld(Subject{Name: n.id, Desired: desired, Record: n.record, Images: all}, now())
	switch {
	case !ok || !w.matches(in):
		in.Spec, in.Defaults = desired.Container, spec.DefaultsVersion
	case in.Spec.Metadata.Name == "": // its record is lost, but its hash says that it is of this spec
		in.Spec = desired.Container
	}
	chosen, err = a.chooseGood(ctx, w, image, in)
	return chosen, in, err
}

// chooseGood is choose, of images that the node has looked at: of those that are not named exactly the next one is tried.
func (a *Agent) chooseGood(ctx context.Context, w *world, ref string, in spec.Instance) (spec.Image, error) {
	for {
		chosen, err := w.choose(ref, in)
		if err != nil {
			return chosen, err
		}
		err = a.Node.CanRestore(ctx, in, chosen.Ref())
		if err == nil || strings.Contains(ref, "/") || !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, fs.ErrNotExist) {
			return chosen, err
		}
		w.Record.Images.Bad = slices.Insert(slices.Clone(w.Record.Images.Bad), 0, record.BadImage{Image: chosen.Ref(), Problem: err.Error()}) // before its past
	}
}

// choose is the image that somebody names. One that is named exactly is taken though it failed before; else the newest is that nothing speaks against.
func (w *world) choose(ref string, in spec.Instance) (spec.Image, error) {
	exact := strings.Contains(ref, "/")
	if exact {
		w.Record.Images.Bad = nil
	}
	list := named(w.Images, cmp.Or(ref, w.Name))
	why := ""
	for _, i := range list {
		problem := w.unfit(i, in)
		if problem == "" {
			return i, nil
		}
		why = cmp.Or(why, problem)
	}
	switch {
	case len(list) == 0 && exact:
		return spec.Image{}, refuse(fs.ErrNotExist, "no image %s\nhint: `reconciler checkpoint ls` shows what there is", ref)
	case len(list) == 0:
		return spec.Image{}, refuse(fs.ErrNotExist, "no image of %q\nhint: `reconciler checkpoint ls` shows what there is", cmp.Or(ref, w.Name))
	}
	return spec.Image{}, refuse(fs.ErrInvalid, "cannot restore %q: %s", w.Name, why)
}

// Images are the complete images of one container, or of all for "", oldest first.
func (a *Agent) Images(ctx context.Context, name string) ([]spec.Image, error) {
	return a.Node.Images(ctx, name)
}

// RemoveImage removes an image, NAME/ID. spec.ErrBusy when it is in use, fs.ErrNotExist when there is none.
func (a *Agent) RemoveImage(ctx context.Context, ref string) error {
	name, _, _ := strings.Cut(ref, "/")
	all, err := a.Node.Images(ctx, name)
	if err != nil {
		return err
	}
	if list := named(all, ref); len(list) != 1 || list[0].Ref() != ref {
		return refuse(fs.ErrNotExist, "no image %s\nhint: `reconciler checkpoint ls` shows what there is", ref)
	}
	if err := a.Node.RemoveImage(ctx, ref); err != nil {
		return err
	}
	a.tell(Event{Name: name, Reason: "ImageRemoved", Message: ref})
	if a.known(name) {
		a.queue.Add(name)
	}
	return nil
}
