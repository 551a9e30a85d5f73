package api

import (
	"context"
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
	// Plan is what the agent would do now.
	Plan(ctx context.Context) (Plan, error)

	// Override sets a state over the manifest's; the empty state clears it.
	Override(ctx context.Context, name string, state spec.State) error
	// Restart starts the process anew, in the same instance.
	Restart(ctx context.Context, name string) error
	// Kill sends a signal to process 1; SIGKILL goes to all processes.
	Kill(ctx context.Context, name, signal string) error
	// Exec starts a further process. fs.ErrNotExist for an unknown name, spec.ErrNotRunning when nothing runs or what runs is paused,
	// spec.ErrCommandNotFound and spec.ErrCommandNotExecutable. The caller closes the session, of a detached process at once.
	Exec(ctx context.Context, name string, e spec.Exec) (spec.Session, error)
	// Attach joins the input and output of a container's own process. The caller closes the session.
	Attach(ctx context.Context, name string) (spec.Session, error)
	// ConfirmPrune lets blocked removals of a source go on, if it still has that revision.
	ConfirmPrune(ctx context.Context, source, revision string) error
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
