package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// list asks the node for the images that the plan of a name may need, and whether it restores any.
func (a *Agent) list(ctx context.Context, n *entry, desired *Desired, observed []spec.Instance) {
	var images []spec.Image
	var failed error
	names := NeedsImages(n.id, desired, observed, n.record)
	if n.unable = ""; len(names) > 0 {
		if err := a.Node.CanRestore(ctx, spec.Instance{}, ""); errors.Is(err, errors.ErrUnsupported) {
			n.unable = err.Error()
		}
	}
	for _, name := range names {
		some, err := a.Node.Images(ctx, name)
		if err != nil {
			failed = fmt.Errorf("cannot list the images of %q: %w", name, err)
			break
		}
		images = append(images, some...)
	}
	if failed != nil {
		n.unlisted, images = n.unlisted.after(verbImages, failed, now()), nil
		a.Log.Error(failed, "failed", "name", n.id, "verb", verbImages, "count", n.unlisted.Count)
	} else {
		n.unlisted = Failure{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n.images = images
}

// NeedsImages are the containers whose images Plan may need for a name; none for a name that has nothing to do with images.
func NeedsImages(name string, desired *Desired, observed []spec.Instance, r record.Record) (names []string) {
	if desired == nil || desired.Hold != "" {
		return nil
	}
	c, saved := desired.Container.Spec, r.LastExit != nil && r.LastExit.Reason == spec.ExitCheckpointed
	for _, in := range observed {
		saved = saved || in.Exit != nil && in.Exit.Reason == spec.ExitCheckpointed
	}
	if !c.Checkpoints() && !saved && !r.Suspended && r.Override.State != spec.StateCheckpointed && r.Restore.Image == "" {
		return nil
	}
	names = []string{name}
	for _, ref := range []string{c.Checkpoint.From, r.Restore.Image} {
		if other, _, _ := strings.Cut(ref, "/"); other != "" && other != name {
			names = append(names, other)
		}
	}
	return names
}
