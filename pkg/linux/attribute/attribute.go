// Package attribute gives a container's first process everything that a process inherits, from a table with the reset
// value of each, and the calls that end a start: limits, user, privileges, filter, execve. It knows what fork and
// execve carry along; it refuses to know namespaces, mounts and where the values of a manifest come from.
//
// A start program is put together in this order; each step says what has to be behind it:
//
//	First              the child has just been made
//	namespace.Append   the child is in its cgroups (affinity is cut to the cpuset it is in)
//	mount.Append       needs root's capabilities and the parent's umask set aside
//	Early              needs the descriptors of Files and root's capabilities
//	Late               nothing may follow: it ends in execve
//
// and within Late:
//
//   - what the end still needs is moved above the numbers of the container's descriptors, before any of them is set.
//   - Landlock's rules where a low number is still free to be used; they apply after the last open, while root's capabilities are there.
//   - stdio after the root has changed: it opens the container's /dev/null. Before the limits: a nofile below 3 would refuse it. Limits after every open: the child begins with the
//     keeper's many descriptors, and a lower nofile refuses new numbers.
//   - a user namespace is joined after what the node's superuser does, stdio and limits, and before capabilities: joining gives all of them anew.
//   - limits, securebits and the bounding set before the user changes: they need root's capabilities.
//   - groups before gid before uid: each needs the privilege that the next one gives up.
//   - the final capabilities after the user: the kernel changes them with the uid.
//   - no_new_privs before the filter, which then needs no privilege and comes last, so that it judges nothing but execve.
//     Without no_new_privs the filter needs CAP_SYS_ADMIN, which is kept for it: it then judges the capset that gives that up as well.
//   - a rebirth after everything that is given up, and the session after that: it is the new process's, and so is its terminal.
//   - close_range after the last use of a descriptor and before execve resolves a path, which must not find one in /proc/self/fd.
package attribute

import (
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/landlock"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Names of the descriptors a program of Early and Late uses.
const (
	FileProc     = "proc" // a proc file system of the keeper's pid namespace, see OpenProc
	FileStdin    = "stdin"
	FileStdout   = "stdout"
	FileStderr   = "stderr"
	FileTerminal = "terminal"
	FileInit     = "init"
)

// Plan is what a process gets that differs between containers.
type Plan struct {
	// OOMScoreAdj is 0 when not said, and a node that may not lower it to that keeps what it has.
	OOMScoreAdj spec.OOMScore
	// Inherit leaves an adjustment that is not said as it is.
	Inherit bool
	// Rlimits are those that are set, see Rlimits and SaidRlimits.
	Rlimits []Rlimit
	Umask   uint32
	// Ignored are the signals that who runs the program ignores, see process.ReadSignals.
	Ignored process.SignalSet

	Scheduler    Scheduler
	IOPriority   IOPriority
	Affinity     Affinity
	MemoryPolicy MemoryPolicy
	Personality  uint64 // see personality(2)

	// Labels are what security modules are told, see newLabels.
	Labels []Label
	// InheritKeyring leaves the process with the keeper's session keyring.
	InheritKeyring bool
	// Landlock are the rules it is under.
	Landlock landlock.Rules
	// Sysctls are those of its user namespace, see NewSysctls.
	Sysctls []Sysctl

	Stdio Stdio
	// Reopen is the path of the terminal in the container: it is opened once more when the process is in a user namespace, whose mounts are others than those it was
	// opened from, so that who takes an image of it finds its mount. "" leaves it as it is.
	Reopen string
	// Null tells which of stdio's files are null devices: the container's own takes the place of each, if it has one. An image of its processes cannot have
	// the node's.
	Null [3]bool
	// ExtraFiles are the names of the files that are descriptors 3, 4 and so on.
	ExtraFiles []string

	UID, GID uint32
	Groups   []uint32 // the additional groups
	// Owner is the user's id on the node, which becomes the owner of stdio: UID, except in a user namespace.
	Owner uint32

	Capabilities capability.Sets
	LastCap      int // capability.Node.Last
	// NewPrivs leaves no_new_privs unset.
	NewPrivs bool
	// Seccomp is the system call filter, the zero value for none.
	Seccomp seccomp.Plan

	// Argv is the command, Paths the files to try for it, in order; Env the environment as KEY=VALUE.
	Argv, Paths, Env []string
	// Reborn has the process begin as another, see process.Program.Reborn, when there is nothing left to give up. Not with Init, whose file
	// would be there to be found.
	Reborn bool
	// Init executes FileInit, a tinyinit, in front of the command, which it then looks up by itself.
	Init bool
	// Ready, unless it is nil, adds ops that come when all is done but the filter and the command, or with a filter that notifies, but the
	// command: who takes its listener needs the child to wait. The child has no descriptors then but those it goes on with.
	Ready func(p *process.Program, listener process.Slot)
	// Watched tells that whoever is let into the container while the child waits at Ready may trace it: it is as confined as it will ever be then, and
	// the filter has to allow what it does from there on: read, write, munmap.
	Watched bool
	// Report names a file that gets the errnos of the paths, in four bytes each, when none of them could be executed; "" for none. With one,
	// that there is a command is looked at before Ready.
	Report string
}

// Early adds the ops that reset what the process inherits, row by row of Table.
func Early(p *process.Program, plan Plan) {
	for _, row := range Table {
		if row.reset != nil {
			row.reset(p, plan)
		}
	}
}

// Late adds the ops that end the start. What is given as join, if anything, joins the container's user namespace: it comes after what
// only the node's superuser may do, and before what counts inside. The slot gets the listener of a filter that notifies, see seccomp.Append.
func Late(p *process.Program, plan Plan, join func(*process.Program)) (listener process.Slot) {
	files := keep(p, plan)
	confine := landlock.Append(p, plan.Landlock, scratch)
	early := len(p.Ops)
	stdio(p, plan, files)
	p.Call("set umask", "", unix.SYS_UMASK, process.Int(plan.Umask))
	limits, ofFiles := plan.Rlimits, []Rlimit(nil)
	if join != nil && len(plan.Sysctls) > 0 || plan.Ready != nil {
		limits, ofFiles = withoutFiles(limits)
	}
	setRlimits(p, limits)
	if join != nil {
		join(p)
		reopen(p, plan)
	}
	setSysctls(p, plan)
	if plan.Ready == nil {
		setRlimits(p, ofFiles)
	}
	confine()
	meanwhile := plan.Capabilities
	if plan.NewPrivs && plan.Seccomp.Filter != nil {
		meanwhile = meanwhile.With(unix.CAP_SYS_ADMIN)
	}
	capability.Before(p, meanwhile, plan.LastCap)
	setUser(p, plan)
	capability.After(p, meanwhile)
	if !plan.NewPrivs {
		p.Prctl("set no_new_privs", "", unix.PR_SET_NO_NEW_PRIVS, 1)
	}
	if plan.Report != "" {
		look(p, plan)
	}
	filter := func() {
		listener = seccomp.Append(p, plan.Seccomp)
		if meanwhile != plan.Capabilities {
			capability.Reduce(p, plan.Capabilities)
		}
	}
	at, first := len(p.Ops), plan.Seccomp.Notifies() || plan.Ready != nil && plan.Watched
	if plan.Ready != nil { // its descriptors have been moved by then
		setRlimits(p, ofFiles)
	}
	if first {
		filter()
	}
	if plan.Ready != nil {
		plan.Ready(p, listener)
	} else {
		closeFiles(p, plan)
	}
	if !first {
		filter()
	}
	if plan.Reborn {
		reborn(p, plan)
	}
	execute(p, plan, files)
	if plan.Ready != nil {
		p.Shed(early, at, plan.descriptors())
	}
	return listener
}
