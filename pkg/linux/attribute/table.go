package attribute

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// How says what gives an inherited attribute its value.
type How string

// What gives an attribute its value.
const (
	ByEarly How = "early" // an op of Early
	ByLate  How = "late"  // an op of Late
	ByMount How = "mount" // an op of package mount
	ByClone How = "clone" // the kernel, in clone3
	ByExec  How = "exec"  // the kernel, in execve
	Kept    How = "kept"  // cannot be reset: the keeper must not have it
)

// Row is one thing that a process can inherit, after fork(2), clone(2), execve(2), prctl(2) and kernel/fork.c.
type Row struct {
	Name  string
	Value string // what a container finds
	How   How
	reset func(*process.Program, Plan)
}

// Table is everything a process inherits.
var Table = []Row{
	// Sessions and signals. A handler never survives clone3 with CLONE_CLEAR_SIGHAND; an ignored signal does.
	{"session, process group, terminal", "a new session; no terminal, unless stdio is one", ByEarly, newSession},
	{"ignored signals", "none", ByEarly, defaultSignals},
	{"signal handlers", "none", ByClone, nil},
	{"signal mask", "empty", ByEarly, unblockSignals},
	{"pending signals, timers, alarms", "none", ByClone, nil},
	{"alternate signal stack", "none", ByExec, nil},
	{"signal at the parent's death", "none", ByClone, nil},
	{"child subreaper", "no", ByClone, nil},

	// Processor.
	{"scheduling policy, nice value, reset-on-fork, slice, clamps", "scheduler, or SCHED_OTHER, 0, no, the kernel's, none", ByEarly, setScheduling},
	{"processor affinity", "cpuAffinity.final, or every processor of the cpuset", ByEarly, setAffinity},
	{"memory policy", "memoryPolicy, or MPOL_DEFAULT", ByEarly, setMemoryPolicy},
	{"input/output priority", "ioPriority, or IOPRIO_CLASS_NONE", ByEarly, setIOPriority},
	{"input/output flusher", "no", ByEarly, option("reset io flusher", unix.PR_SET_IO_FLUSHER, 0)},
	{"timer slack", "50 us", ByEarly, option("reset timer slack", unix.PR_SET_TIMERSLACK, 50_000)},
	{"time stamp counter", "readable", ByEarly, option("reset time stamp counter", unix.PR_SET_TSC, unix.PR_TSC_ENABLE)},
	{"memory failure policy", "the node's", ByEarly, option("reset memory failure policy", unix.PR_MCE_KILL, unix.PR_MCE_KILL_CLEAR)},
	{"execution domain", "personality, or PER_LINUX", ByEarly, setPersonality},
	{"speculation control", "the keeper's", Kept, nil},
	{"core scheduling cookie", "the keeper's", Kept, nil},

	// Memory. These belong to the address space, which the child still shares with the keeper: it gets the value as well.
	{"transparent huge pages", "not disabled", ByEarly, option("reset huge pages", unix.PR_SET_THP_DISABLE, 0)},
	{"merging of equal pages", "no", ByEarly, option("reset memory merge", unix.PR_SET_MEMORY_MERGE, 0)},
	{"core dump filter", "0x33", ByEarly, resetDumpFilter},
	{"refusal of writable and executable memory", "the keeper's", Kept, nil},
	{"dumpable", "yes", ByExec, nil},
	{"memory locks", "none", ByExec, nil},
	{"OOM score adjustment", "oomScoreAdj, or 0; with base None the keeper's", ByEarly, setOOMScore},

	// Identity and privileges.
	{"security label", "apparmor, selinux, or the keeper's", ByEarly, setLabels},
	{"session keyring", "a new, empty one, unless keyring says Inherit", ByEarly, newKeyring},
	{"default keyring of requests", "KEY_REQKEY_DEFL_DEFAULT", ByEarly, resetRequestKeyring},
	{"thread and process keyrings", "none", ByExec, nil},
	{"user, group, additional groups", "user, additionalGroups", ByLate, nil},
	{"capabilities, securebits", "capabilities; 0", ByLate, nil},
	{"no_new_privs", "set, unless allowNewPrivileges", ByLate, nil},
	{"seccomp filters", "seccomp, on top of the keeper's", ByLate, nil},
	{"Landlock domain", "landlock, within the keeper's", ByLate, nil},

	// Files.
	{"descriptors", "0, 1 and 2, and the extra files from 3 on", ByLate, nil},
	{"umask", "umask", ByLate, nil},
	{"root and working directory", "rootfs, workingDir", ByMount, nil},

	// The rest.
	{"resource limits", "rlimits, or the defaults of Rlimits; with base None the keeper's", ByLate, nil},
	{"environment, arguments, name", "Environ, command", ByExec, nil},
}

func newSession(p *process.Program, _ Plan) {
	p.Call("make session", "", unix.SYS_SETSID)
}

// defaultSignals gives SIG_DFL to all signals that are ignored.
func defaultSignals(p *process.Program, plan Plan) {
	action := make([]byte, 32) // struct kernel_sigaction: handler, flags, restorer, mask
	for s := unix.Signal(1); s <= 64; s++ {
		if plan.Ignored.Has(s) {
			p.Call("reset signal", strconv.Itoa(int(s)), unix.SYS_RT_SIGACTION, process.Int(int(s)), process.Data(action), process.Int(0), process.Int(8))
		}
	}
}

func unblockSignals(p *process.Program, _ Plan) {
	p.Call("reset signal mask", "", unix.SYS_RT_SIGPROCMASK, process.Int(unix.SIG_SETMASK), process.Data(make([]byte, 8)), process.Int(0), process.Int(8))
}

// option resets a flag by prctl(2). A kernel or machine without it has nothing to reset (EINVAL); a flag that needs a
// capability the keeper lacks (EPERM) is one it could not have set.
func option(step string, option int, value uint64) func(*process.Program, Plan) {
	return func(p *process.Program, _ Plan) {
		p.Prctl(step, "", option, value).Accept = process.Accept(unix.EINVAL, unix.EPERM)
	}
}

// newKeyring joins an anonymous session keyring, charged to root. Kernels without keyrings have none to inherit; where
// the call is filtered (EPERM) or the quota spent (EDQUOT) the container's own filter still keeps it from the keeper's keys.
func newKeyring(p *process.Program, plan Plan) {
	if plan.InheritKeyring {
		return
	}
	p.Call("join new session keyring", "", unix.SYS_KEYCTL, process.Int(unix.KEYCTL_JOIN_SESSION_KEYRING), process.Int(0)).
		Accept = process.Accept(unix.ENOSYS, unix.EPERM, unix.EDQUOT)
}

func resetRequestKeyring(p *process.Program, _ Plan) {
	p.Call("reset request keyring", "", unix.SYS_KEYCTL, process.Int(unix.KEYCTL_SET_REQKEY_KEYRING), process.Int(unix.KEY_REQKEY_DEFL_DEFAULT)).
		Accept = process.Accept(unix.ENOSYS, unix.EPERM)
}

// setOOMScore: lowering it needs CAP_SYS_RESOURCE (EACCES), which is no reason to fail when the manifest says nothing.
// The kernel leaves a vfork child's address space sharers alone, see proc_oom_score_adj_write.
func setOOMScore(p *process.Program, plan Plan) {
	if plan.OOMScoreAdj.IsZero() && plan.Inherit {
		return
	}
	op := writeProc(p, "set OOM score adjustment", "self/oom_score_adj", strconv.Itoa(plan.OOMScoreAdj.Value()))
	if plan.OOMScoreAdj.IsZero() {
		op.Accept = process.Accept(unix.EACCES)
	}
}

func resetDumpFilter(p *process.Program, _ Plan) {
	writeProc(p, "reset core dump filter", "self/coredump_filter", "0x33")
}

// writeProc writes a file below FileProc and returns the op of the write; Late closes the file.
func writeProc(p *process.Program, step, path, text string) *process.Op {
	fd := p.Openat2FD(step, path, p.File(FileProc), path, unix.O_WRONLY, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_MAGICLINKS|unix.RESOLVE_NO_XDEV)
	return p.Call(fmt.Sprintf("%s to %s", step, text), path, unix.SYS_WRITE, fd, process.Data([]byte(text)), process.Int(len(text)))
}
