package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Observe shows every instance; see reconcile.Node.
func (n *Node) Observe(ctx context.Context) ([]spec.Instance, error) {
	all, err := n.Node.Observe(ctx)
	return n.explain(all), err
}

// ObserveOne shows the instances of one name; see reconcile.Node.
func (n *Node) ObserveOne(ctx context.Context, name string) ([]spec.Instance, error) {
	all, err := n.Node.ObserveOne(ctx, name)
	return n.explain(all), err
}

// explain says what only images tell: which runs ended with one, and that nobody paused, or resumed, who stands still for one.
func (n *Node) explain(all []spec.Instance) []spec.Instance {
	for i, in := range all {
		switch in.Phase {
		case spec.InstanceExited:
			all[i].Exit = n.explainExit(in)
		case spec.InstanceRunning, spec.InstancePaused:
			if phase, ok := n.still.was(in); ok {
				all[i].Phase = phase
			}
		}
	}
	return all
}

// explainExit tells whether a run ended with an image. Only the image knows: what ended it is a kill like any other, and whoever asked for it may have died
// in the same moment.
func (n *Node) explainExit(in spec.Instance) *spec.Exit {
	if in.Exit == nil || in.Exit.Signal != "SIGKILL" && in.Exit.Reason != spec.ExitUnknown {
		return in.Exit
	}
	if _, ok := n.endedWith(in); !ok {
		return in.Exit
	}
	exit := *in.Exit
	exit.Reason = spec.ExitCheckpointed
	return &exit
}

// endedWith is the image that an instance's latest run ended with.
func (n *Node) endedWith(in spec.Instance) (spec.Image, bool) {
	images, err := n.images.List(in.Name)
	if err != nil {
		return spec.Image{}, false
	}
	for _, img := range images {
		if img.Stopped && img.IsOf(in) && img.Boot == n.Boot() {
			return img, true
		}
	}
	return spec.Image{}, false
}

// Start starts the command; see reconcile.Node.
func (n *Node) Start(ctx context.Context, name string, instance uint64) error {
	in, err := n.instance(ctx, name, instance)
	if err != nil {
		return about("start", name, err)
	}
	if mayBeLocked(in) {
		if err := n.Unlock(ctx, name, in.Spec.Spec.Group); err != nil {
			return about("start", name, err)
		}
	}
	return n.Node.Start(ctx, name, instance)
}

// mayBeLocked tells whether a run that ended with an image may have left the network locked for what would be restored from that: this instance's, or that of one before it.
func mayBeLocked(in spec.Instance) bool {
	if in.Exit != nil {
		return in.Exit.Reason == spec.ExitCheckpointed || in.Exit.Signal == "SIGKILL"
	}
	return in.Starts == 0 && (in.Spec.Spec.Checkpoints() || in.Spec.Spec.Group != "")
}

// Destroy removes an instance and, with the last one of a name, its images that nobody keeps; see reconcile.Node.
func (n *Node) Destroy(ctx context.Context, name string, instance uint64, keep bool) error {
	if err := n.still.await(ctx, name, errStopping); err != nil {
		return about("destroy", name, err)
	}
	if err := n.Node.Destroy(ctx, name, instance, keep); err != nil || keep {
		return err
	}
	if left, err := n.Node.ObserveOne(ctx, name); err != nil || len(left) > 0 {
		return err
	}
	images, err := n.images.List(name)
	if err != nil {
		return about("destroy", name, err)
	}
	var errs []error
	for _, img := range images {
		if !img.Kept {
			errs = append(errs, n.images.Remove(img.Ref()))
		}
	}
	return about("destroy", name, errors.Join(errs...))
}

// Exec starts a further process; see reconcile.Node. While an image is being taken of the container there is none: it would not be in it.
func (n *Node) Exec(ctx context.Context, name string, instance uint64, e spec.Exec) (spec.Session, error) {
	if !n.still.enter(name) {
		return nil, about("exec in", name, fmt.Errorf("an image is being taken of it: %w", spec.ErrBusy))
	}
	defer n.still.leave(name)
	return n.Node.Exec(ctx, name, instance, e)
}

// Dial opens a connection from inside; see reconcile.Node. While an image is being taken nobody answers. One that is half open when the taking begins is
// left out of the image, so that nobody who dials holds it up.
func (n *Node) Dial(ctx context.Context, name string, instance uint64, network, address string) (net.Conn, error) {
	if n.still.isHeld(name) {
		return nil, about("connect into", name, fmt.Errorf("an image is being taken of it: %w", spec.ErrBusy))
	}
	return n.Node.Dial(ctx, name, instance, network, address)
}

// Pause and Resume wait until no image is being taken of the container; see reconcile.Node. Another container of its group may be the one that was asked for.
func (n *Node) Pause(ctx context.Context, name string, instance uint64) error {
	if err := n.still.await(ctx, name, nil); err != nil {
		return about("pause", name, err)
	}
	return n.Node.Pause(ctx, name, instance)
}

// Resume is described at Pause.
func (n *Node) Resume(ctx context.Context, name string, instance uint64) error {
	if err := n.still.await(ctx, name, nil); err != nil {
		return about("resume", name, err)
	}
	return n.Node.Resume(ctx, name, instance)
}

// Stop and Kill do not wait for an image; see reconcile.Node. There will be none.
func (n *Node) Stop(ctx context.Context, name string, instance uint64, signal string, timeout time.Duration) error {
	if err := n.still.await(ctx, name, errStopping); err != nil {
		return about("stop", name, err)
	}
	return n.Node.Stop(ctx, name, instance, signal, timeout)
}

// Kill is described at Stop.
func (n *Node) Kill(ctx context.Context, name string, instance uint64, signal string) error {
	if err := n.still.await(ctx, name, errStopping); err != nil {
		return about("kill", name, err)
	}
	return n.Node.Kill(ctx, name, instance, signal)
}

// errStopping is why an image is given up that is being taken of what somebody ends.
var errStopping = fmt.Errorf("somebody ends it, or another of its group: %w", spec.ErrBusy)

// settle unsays of images that runs ended with them which go on after all: whoever took them died before criu was told.
func (n *Node) settle(ctx context.Context) error {
	all, err := n.Node.Observe(ctx)
	if err != nil {
		return err
	}
	errs := []error{n.tidyUnpacked(all)}
	for _, in := range all {
		img, ok := n.endedWith(in)
		if !ok || in.Phase != spec.InstanceRunning && in.Phase != spec.InstancePaused {
			continue
		}
		// Who was told may be about to end them.
		lives, err := n.LivesOn(ctx, in.Name, in.ID)
		if err != nil {
			n.cfg.Log.Error(err, "an image may be said to be the end of a run that goes on", "image", img.Ref())
		}
		if !lives {
			continue
		}
		if err := n.images.Remove(img.Ref()); err != nil {
			errs = append(errs, fmt.Errorf("cannot remove an image that was not needed: %w", err))
		}
	}
	return errors.Join(errs...)
}
