package api

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Agent is what the API needs of the loop that serves it. All methods may be called at any time, from many goroutines.
type Agent interface {
	// Objects are all containers, by name, and the newest resource version they contain.
	Objects() ([]spec.Object, uint64)
	// Object is one container; fs.ErrNotExist when no manifest and no instance has that name.
	Object(name string) (spec.Object, error)
	// Watch gives every change after the resource version since, until ctx ends; 0 means from now on. ErrExpired when
	// changes that old are forgotten. The channel is closed when the reader was too slow.
	Watch(ctx context.Context, since uint64) (<-chan Change, error)
	// Events are the events kept, oldest first, with an ID above since; of one container unless name is "".
	Events(name string, since uint64) []Event
	// WatchEvents gives events with an ID above since until ctx ends; closed when the reader was too slow.
	WatchEvents(ctx context.Context, name string, since uint64) <-chan Event
	// Sources are the directories of manifests.
	Sources() []Source
	// Plan is what the agent would do now. It waits for no container that is busy: of such a one it is the verb that is under way.
	Plan(ctx context.Context) (Plan, error)

	// Override sets a state over the manifest's, or has nothing done about a container; the zero value clears it, and a return to an earlier manifest.
	Override(ctx context.Context, name string, o spec.Override) error
	// Revisions are the manifests of a container that are remembered, the newest last.
	Revisions(ctx context.Context, name string) ([]spec.Revision, error)
	// Undo puts an earlier manifest in force, for 0 the last that has proven itself.
	Undo(ctx context.Context, name string, generation int64) error
	// Restart starts the process anew, in the same instance.
	Restart(ctx context.Context, name string) error
	// Kill sends a signal to process 1; SIGKILL goes to all processes.
	Kill(ctx context.Context, name, signal string) error
	// Exec starts a further process. fs.ErrNotExist for an unknown name, spec.ErrNotRunning when nothing runs or what runs is paused,
	// spec.ErrCommandNotFound and spec.ErrCommandNotExecutable. The caller closes the session, of a detached process at once.
	Exec(ctx context.Context, name string, e spec.Exec) (spec.Session, error)
	// Attach joins the input and output of a container's own process. The caller closes the session.
	Attach(ctx context.Context, name string) (spec.Session, error)
	// Drift compares what runs of a container with all that the kernel lets one read back; none when nothing differs, or runs.
	Drift(ctx context.Context, name string) ([]spec.Drift, error)
	// RepairDrift is Drift, and has put back what can be.
	RepairDrift(ctx context.Context, name string) ([]spec.Drift, error)
	// ConfirmPrune lets blocked removals of a source go on, if its contents still have that hash.
	ConfirmPrune(ctx context.Context, source, hash string) error

	// Checkpoint takes an image of a container that runs or is paused, and of those of its group with it, and returns when it is complete.
	// When ctx ends before, there is no image and the container runs on. With o.Stop its state is Checkpointed by hand from then on.
	// spec.ErrNotRunning when there is no process.
	Checkpoint(ctx context.Context, name string, o spec.CheckpointOptions) (spec.Image, error)
	// Restore begins a new run from an image, NAME/ID or NAME, or from the newest good one of the container for "", once what runs has ended by
	// its own stop. It returns when that is written down, or refuses it before anything is stopped: fs.ErrNotExist, fs.ErrInvalid.
	Restore(ctx context.Context, name, image string) error
	// Images are the images of one container, or of all for "", oldest first; none is no error.
	Images(ctx context.Context, name string) ([]spec.Image, error)
	// RemoveImage removes one; spec.ErrBusy when it is in use. One that is not there is no error.
	RemoveImage(ctx context.Context, ref string) error
	// Shutdown brings all containers down because the node goes down, with an image where their manifests say so, and starts nothing any
	// more. It returns when all are down, or ctx ends.
	Shutdown(ctx context.Context) error
	// Drain brings all containers down, with checkpoint into images as far as they can, and keeps them so until Undrain. It returns when all are down, or ctx ends.
	Drain(ctx context.Context, checkpoint bool) error
	// Undrain lets the manifests decide again.
	Undrain(ctx context.Context) error
}

// Images are what a node keeps of containers, as files that can be looked at and carried away. An image that is not there is
// fs.ErrNotExist, one that is damaged fs.ErrInvalid.
type Images interface {
	// VerifyImage reads an image as a restore would before it starts anything; an error names the first thing that is wrong.
	VerifyImage(ctx context.Context, ref string) error
	// ShowImage is what is in an image, as was written down when it was taken: its memory is not read.
	ShowImage(ctx context.Context, ref string) (spec.ImageDetails, error)
	// KeepImage puts an image aside, so that retention leaves it alone, or gives it back.
	KeepImage(ctx context.Context, ref string, keep bool) error
	// ExportImage writes an image as one archive. Nothing is written before it is known to be whole.
	ExportImage(ctx context.Context, ref string, w io.Writer, compress bool) error
	// ImportImage makes an image of an archive, which is trusted in nothing, for the container of that name, or of the archive's own for
	// "". It is there when all of it is, or not at all.
	ImportImage(ctx context.Context, r io.Reader, name string) (spec.Image, error)
}

// Logs reads what containers wrote.
type Logs interface {
	// Logs gives the lines of a container's output as options say, oldest first. fs.ErrNotExist when it never wrote any.
	Logs(ctx context.Context, name string, options LogOptions) (iter.Seq2[LogLine, error], error)
}

// LogLine is one piece of a container's output: a line with its newline, or a part of a long one.
type LogLine struct {
	Time   time.Time
	Stream string
	Bytes  []byte // good until the next line is asked for
	// Continues tells that it goes on with the line before.
	Continues bool
}

// Node says what the machine can do, and what its containers do with it.
type Node interface {
	// Features says by name what is missing and why; nil means that it is there.
	Features(ctx context.Context) map[string]error
	// Stats is what an instance uses and has used; fs.ErrNotExist when it is not there.
	Stats(ctx context.Context, name string, instance uint64) (spec.Stats, error)
	// Processes are the processes of an instance, by number; fs.ErrNotExist when it is not there.
	Processes(ctx context.Context, name string, instance uint64) ([]spec.Process, error)
}
