package reconcile

import (
	"context"
	"errors"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Checkpoint takes an image of what runs, in the turn of its name, and gives it. With o.Stop the state is Checkpointed by hand from then
// on. fs.ErrNotExist for an unknown name, spec.ErrNotRunning when there is no process.
func (a *Agent) Checkpoint(ctx context.Context, name string, o spec.CheckpointOptions) (spec.Image, error) {
	return spec.Image{}, errors.ErrUnsupported
}

// Restore begins a new run from an image, NAME/ID or "" for the newest good one of the container, once what runs has ended by its own stop.
// It returns when that is written down. fs.ErrNotExist for an unknown name or image, fs.ErrInvalid for an image that is of no use to it.
func (a *Agent) Restore(ctx context.Context, name, image string) error { return errors.ErrUnsupported }

// Images are the complete images of one container, or of all for "", oldest first.
func (a *Agent) Images(ctx context.Context, name string) ([]spec.Image, error) {
	return a.Node.Images(ctx, name)
}

// RemoveImage removes an image, NAME/ID. spec.ErrBusy when it is in use, fs.ErrNotExist when there is none.
func (a *Agent) RemoveImage(ctx context.Context, ref string) error { return a.Node.RemoveImage(ctx, ref) }

// Shutdown brings the containers down because the node goes down, while Run runs: those whose manifest says checkpoint.onShutdown into
// images, the others by their own stop, as those whose image could not be taken in time. Nothing is started, made or removed any more. It returns when all are
// down, or with ctx's error.
func (a *Agent) Shutdown(ctx context.Context) error { return errors.ErrUnsupported }
