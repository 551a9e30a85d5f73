package reconcile

import (
	"context"
	"net"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Node is the kernel seam: what the loop needs of a machine. pkg/machine implements it on the real
// kernel and internal/simnode in memory; backendtest holds both to these laws:
//
//   - Every verb may be repeated safely: a verb whose effect is already there does nothing and succeeds.
//   - Destroy of an unknown name or instance is no error. Every other verb on an unknown one returns an
//     error that is fs.ErrNotExist, and changes nothing.
//   - An error leaves the instance as it was, or Broken; never half-made and unreported.
//   - Verbs of different names run in parallel; the caller runs the verbs of one name one at a time.
//   - Errors that a retry cannot mend until the manifest changes are errors.ErrUnsupported or fs.ErrInvalid.
type Node interface {
	// Observe shows every instance of every name, from the kernel first and the records second; those of a name follow each other, oldest first.
	Observe(ctx context.Context) ([]spec.Instance, error)
	// ObserveOne shows the instances of one name, oldest first; none is no error. It costs O(1).
	ObserveOne(ctx context.Context, name string) ([]spec.Instance, error)
	// Events gives hints until ctx ends. A slow reader gets EventLost instead of a gap.
	Events(ctx context.Context) (<-chan spec.Event, error)

	// Create makes the instance's cgroup with its limits, its layers and its record, but no process. c is as
	// the user wrote it; the node applies the defaults of version defaults. A Broken instance of that id is an error
	// (destroy it first); a created one of the same Identity is success.
	Create(ctx context.Context, c spec.Container, instance uint64, defaults int) error
	// Start starts the command in a Created or Exited instance. Running or Paused already: nothing to do.
	Start(ctx context.Context, name string, instance uint64) error
	// Stop sends the signal to process 1 and arms the kill of the cgroup after timeout, then returns at once; the exit
	// is an event. The arming survives the agent. Repeating it does not prolong the deadline; a shorter timeout
	// shortens it. A process that neither catches nor blocks the signal is killed at once. A frozen instance is thawed.
	Stop(ctx context.Context, name string, instance uint64, signal string, timeout time.Duration) error
	// Kill sends a signal to process 1 without arming anything; SIGKILL kills the whole cgroup.
	Kill(ctx context.Context, name string, instance uint64, signal string) error
	// Update writes the limits in place, resets those no longer said to the kernel's default, and records
	// the live fields of c in the instance's Spec.
	Update(ctx context.Context, c spec.Container, instance uint64) error
	// Configure gives an instance configs that its Spec uses, in place of what it had of them: all files of one at one moment, so that who reads sees the
	// old ones or the new ones, and never none. Its process sees the files at once, and variables from its next start on. A config whose Hash is written is
	// not written again; with Seen it is noted as seen, and with Noted nothing is ever written. A Start notes as seen all that is written then; a config of the Spec that was never given is
	// fs.ErrNotExist to it. What is written is gone with the instance, and on no disk. A name that the Spec does not use is fs.ErrInvalid.
	Configure(ctx context.Context, name string, instance uint64, configs []spec.Projection) error
	// Pause freezes a Running instance and returns when it is frozen; Resume thaws it.
	Pause(ctx context.Context, name string, instance uint64) error
	Resume(ctx context.Context, name string, instance uint64) error
	// Destroy kills what runs and removes processes, cgroup, mounts, layers and records of one instance; with the last
	// instance of a name also its sandbox, its Name-lived layer and its images that are not kept by hand, unless keep says that a successor is coming.
	Destroy(ctx context.Context, name string, instance uint64, keep bool) error
	// Checkpoint takes an image of a Running or Paused instance, and of every live one of its group at the same moment: of all or of none. The
	// processes go on as they were, whatever happens; with o.Stop they end when the image is complete, and only then, with the reason Checkpointed.
	// What the instance's Checkpoint says of pauses, packing and retention holds. An instance without a process is spec.ErrNotRunning; what cannot be
	// saved is errors.ErrUnsupported and said before anything is stopped; a group of which an image is being taken is spec.ErrBusy, or waits.
	Checkpoint(ctx context.Context, name string, instance uint64, o spec.CheckpointOptions) (spec.Image, error)
	// Restore is Start from an image, NAME/ID, of this container or of another of which spec.Restorable says that it fits: the instance is Running then and
	// has one start more. Running or Paused already: nothing to do. An image that is damaged, or does not fit container or node, is fs.ErrInvalid and said
	// before anything is started; one that is not there is fs.ErrNotExist; a node that restores nothing says errors.ErrUnsupported.
	Restore(ctx context.Context, name string, instance uint64, image string) error
	// CanRestore says why Restore would not begin a run of an instance from an image, with its errors, as far as that can be known with nothing started;
	// "" is any image: it says only whether the node restores at all.
	CanRestore(ctx context.Context, in spec.Instance, image string) error
	// Images are the complete images of one container, or of all for "", oldest first. One that is known to be of no use says why.
	Images(ctx context.Context, name string) ([]spec.Image, error)
	// RemoveImage removes an image that is not in use (spec.ErrBusy). One that is not there is no error.
	RemoveImage(ctx context.Context, image string) error
	// Exec starts a further process in a Running instance. A Paused one, or one without a process, is spec.ErrNotRunning. Unless
	// it is detached the process ends with the session, and with the agent. ctx bounds the start, not the session.
	// An error about the command itself, which could not be executed, says so with a method OfCommand() bool, and is fs.ErrNotExist when
	// it is not there.
	Exec(ctx context.Context, name string, instance uint64, e spec.Exec) (spec.Session, error)
	// Attach joins the input and output of a Running or Paused instance's own process, from now on. Any number may.
	Attach(ctx context.Context, name string, instance uint64) (spec.Session, error)
	// Dial opens a connection from inside the network of a Running instance, whichever that is, to an address and port in digits; network is tcp, tcp4 or
	// tcp6. It starts no process, and may run beside other verbs of the name. ctx bounds the opening, not the connection, which outlives neither of its ends.
	// A Paused instance, or one without a process, is spec.ErrNotRunning; one of which an image is being taken is spec.ErrBusy; an address that is none is
	// fs.ErrInvalid. What the network itself answers is its error: syscall.ECONNREFUSED when nobody listens.
	Dial(ctx context.Context, name string, instance uint64, network, address string) (net.Conn, error)
	// Drift compares what of a Running or Paused instance the kernel lets one read back, and ObserveOne does not show, with what its record says; none for one
	// without a process. It costs more than ObserveOne, changes nothing, and may be asked for at any time between verbs. One of which an image is being taken is
	// spec.ErrBusy.
	Drift(ctx context.Context, name string, instance uint64) ([]spec.Drift, error)
	// Repair puts back the named fields of what Drift found, those that are Repairable, with the same processes. A field that has not drifted, or is not
	// Repairable, is left as it is.
	Repair(ctx context.Context, name string, instance uint64, fields ...string) error
	// Stats is what an instance uses and has used, also one that has ended.
	Stats(ctx context.Context, name string, instance uint64) (spec.Stats, error)
	// Processes are the processes of an instance, by number; none is no error.
	Processes(ctx context.Context, name string, instance uint64) ([]spec.Process, error)
	// Features says what this node can do, by feature name; the error says what is missing.
	Features(ctx context.Context) map[string]error
}
