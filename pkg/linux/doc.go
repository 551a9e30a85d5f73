// Package linux makes a Linux machine a node: containers of namespaces, cgroups, mounts, capabilities and
// seccomp filters, through the packages below it and the keeper. It knows the kernel and the order of steps with their
// undo; it refuses to know why a container should start or end.
//
// # A container
//
// Open gives a Node, and Node.Run a Container from a [spec.Container], which is what a manifest says: the same words, defaults and checks. What a
// spec does not say is safe and short: namespaces of its own, ten capabilities, no_new_privs, a seccomp filter, masked paths; the page
// docs/container.md lists all of it.
//
//	      Node.New           Start             its end
//	(nothing) --> Created ----------> Running ----------> Exited
//	    ^            |        Pause |    ^   ^              | |
//	    |            |              v    |   +--- Start ----+ |
//	    |            |           Paused -+ Resume             |
//	    +---------- Destroy, from anywhere -------------------+
//
// Node.Run is New and Start. Container.State tells the phase, of which [spec.Instance] has the names; Wait tells how a start ended,
// Output what it said, from its first byte on; Exec and Do run further processes inside, Attach and Follow talk to its own; Stats, Processes and
// Events observe; Update changes limits in place; Stop and Destroy end it.
//
// Nothing is remembered that the kernel knows. A program may end, or be killed, at any moment: its containers run on, lose no output, and
// their exits are kept. Node.Load and Node.Containers find them again.
//
// # The keeper
//
// A process cannot be parent of what outlives it. So a second process, the keeper, one a node and small, is parent of all containers: it collects
// their output and their exits. Open finds it or starts it from a sealed copy of this very program, which must therefore be able to be one:
//
//	func main() {
//		keeper.Hook() // first: in a keeper it does not return
//		...
//
// Node.Close leaves keeper and containers as they are. Node.Shutdown, once every container is destroyed, ends the keeper as well, and
// nothing of the node is left.
//
// # Goroutines and contexts
//
// There is no global state: a program may have several nodes, each with directories and a cgroup parent of its own. A Node and a Container may be
// used from any number of goroutines; what changes one container runs one after another, and containers do not wait for each
// other. Every context bounds its call alone. What a call began and cannot take back when its context ends, such as the deadline of Stop, goes on.
//
// Verbs may be repeated: Start of what runs, Stop and Signal of what has ended, Resume of what is not frozen and Destroy of what is gone are
// no errors.
//
// # Errors
//
// Texts are for people: what could not be done, to what, why, and on a line of its own a hint where one action helps. A program asks
// errors.Is and errors.AsType:
//
//	fs.ErrInvalid                  the spec, or another argument, is wrong: here and on any node
//	  spec.Problems                  all that is wrong with a spec, each with its field and a hint
//	errors.ErrUnsupported          this node lacks what the spec asks for
//	  *feature.UnsupportedError      a feature of the kernel: since which version, and what helps
//	  *cgroup.ControllerError        a cgroup controller, or one of its files
//	    *cgroup.DelegationError        why: whoever has the cgroup above does not hand it down
//	fs.ErrNotExist                 there is no such container, or no longer
//	fs.ErrExist                    there is one of this name
//	  *cgroup.OccupiedError          somebody else's processes are where the container was to go
//	spec.ErrNotRunning             it needs a process that runs, and is not frozen
//	spec.ErrCommandNotFound        the command of a start or an exec is not in the container
//	spec.ErrCommandNotExecutable   it is there and cannot be executed
//	*process.Error                 the step of a start that failed, on what, with its errno
//	*cgroup.UsageError             a limit would be below what is in use
//	unix.EBUSY                     another process leads this node; *cgroup.LockedError knows which
//	unix.EADDRINUSE                a port (*network.PortError) or address (*network.AddressError) is another container's
//	context.Cause(ctx)             the caller's own, when the context ended first
//
// # Layers
//
//	linux       Node, Container
//	  start       a spec becomes a process.Program: one list of system calls
//	    mount  namespace  attribute  capability  seccomp  landlock  rootfs
//	  cgroup  network  log  feature
//	  keeper      runs the program, and is parent of what comes of it
//	    process     the list, and who carries it out
//	  hook        programs of others at points of a container's life
//	  proc  statefile   what /proc shows; small files, read and replaced whole
//	  oci         the other words for all this: an OCI config.json and the verbs of a runtime
//
// Each is usable without the ones above it. Node also implements the kernel seam that package reconcile declares.
package linux
