package attribute

import (
	"encoding/binary"
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
	{"session, process group, terminal", "a new session without a terminal", ByEarly, newSession},
	{"ignored signals", "none", ByEarly, defaultSignals},
	{"signal handlers", "none", ByClone, nil},
	{"signal mask", "empty", ByEarly, unblockSignals},
	{"pending signals, timers, alarms", "none", ByClone, nil},
	{"alternate signal stack", "none", ByExec, nil},
	{"signal at the parent's death", "none", ByClone, nil},
	{"child subreaper", "no", ByClone, nil},

	// Processor.
	{"scheduling policy, nice value, reset-on-fork, slice", "SCHED_OTHER, 0, no, the kernel's", ByEarly, resetScheduling},
	{"utilisation clamps", "none", ByEarly, resetClamps},
	{"processor affinity", "every processor of the cpuset", ByEarly, resetAffinity},
	{"memory policy", "MPOL_DEFAULT", ByEarly, resetMemoryPolicy},
	{"input/output priority", "IOPRIO_CLASS_NONE", ByEarly, resetIOPriority},
	{"input/output flusher", "no", ByEarly, option("reset io flusher", unix.PR_SET_IO_FLUSHER, 0)},
	{"timer slack", "50 us", ByEarly, option("reset timer slack", unix.PR_SET_TIMERSLACK, 50_000)},
	{"time stamp counter", "readable", ByEarly, option("reset time stamp counter", unix.PR_SET_TSC, unix.PR_TSC_ENABLE)},
	{"memory failure policy", "the node's", ByEarly, option("reset memory failure policy", unix.PR_MCE_KILL, unix.PR_MCE_KILL_CLEAR)},
	{"execution domain", "PER_LINUX", ByEarly, resetPersonality},
	{"speculation control", "the keeper's", Kept, nil},
	{"core scheduling cookie", "the keeper's", Kept, nil},

	// Memory. These belong to the address space, which the child still shares with the keeper: it gets the value as well.
	{"transparent huge pages", "not disabled", ByEarly, option("reset huge pages", unix.PR_SET_THP_DISABLE, 0)},
	{"merging of equal pages", "no", ByEarly, option("reset memory merge", unix.PR_SET_MEMORY_MERGE, 0)},
	{"core dump filter", "0x33", ByEarly, resetDumpFilter},
	{"refusal of writable and executable memory", "the keeper's", Kept, nil},
	{"dumpable", "yes", ByExec, nil},
	{"memory locks", "none", ByExec, nil},
	{"OOM score adjustment", "oomScoreAdj, or 0", ByEarly, setOOMScore},

	// Identity and privileges.
	{"session keyring", "a new, empty one", ByEarly, newKeyring},
	{"default keyring of requests", "KEY_REQKEY_DEFL_DEFAULT", ByEarly, resetRequestKeyring},
	{"thread and process keyrings", "none", ByExec, nil},
	{"user, group, additional groups", "user, additionalGroups", ByLate, nil},
	{"capabilities, securebits", "capabilities; 0", ByLate, nil},
	{"no_new_privs", "set, unless allowNewPrivileges", ByLate, nil},
	{"seccomp filters", "seccomp, on top of the keeper's", ByLate, nil},
	{"Landlock domain, security label", "the keeper's", Kept, nil},

	// Files.
	{"descriptors", "0, 1 and 2", ByLate, nil},
	{"umask", "umask", ByLate, nil},
	{"root and working directory", "rootfs, workingDir", ByMount, nil},

	// The rest.
	{"resource limits", "rlimits, or the defaults of Rlimits", ByLate, nil},
	{"environment, arguments, name", "Environ, command", ByExec, nil},
}

func newSession(p *process.Program, _ Plan) {
	p.Call("make session", "", unix.SYS_SETSID)
}

// defaultSignals gives SIG_DFL to all signals that can have another disposition.
func defaultSignals(p *process.Program, _ Plan) {
	action := make([]byte, 32) // struct kernel_sigaction: handler, flags, restorer, mask
	for s := unix.Signal(1); s <= 64; s++ {
		if s != unix.SIGKILL && s != unix.SIGSTOP {
			p.Call("reset signal", strconv.Itoa(int(s)), unix.SYS_RT_SIGACTION, process.Int(int(s)), process.Data(action), process.Int(0), process.Int(8))
		}
	}
}

func unblockSignals(p *process.Program, _ Plan) {
	p.Call("reset signal mask", "", unix.SYS_RT_SIGPROCMASK, process.Int(unix.SIG_SETMASK), process.Data(make([]byte, 8)), process.Int(0), process.Int(8))
}

// struct sched_attr up to SCHED_ATTR_SIZE_VER1, see sched_setattr(2).
func schedAttr(flags uint64, clampMin, clampMax uint32) process.Arg {
	b := make([]byte, unix.SizeofSchedAttr)
	binary.NativeEndian.PutUint32(b[0:], uint32(len(b)))
	binary.NativeEndian.PutUint64(b[8:], flags)
	binary.NativeEndian.PutUint32(b[48:], clampMin)
	binary.NativeEndian.PutUint32(b[52:], clampMax)
	return process.Data(b)
}

func resetScheduling(p *process.Program, _ Plan) {
	p.Call("reset scheduling", "", unix.SYS_SCHED_SETATTR, process.Int(0), schedAttr(0, 0, 0), process.Int(0))
}

// resetClamps: -1 resets a clamp since Linux 5.11; kernels without CONFIG_UCLAMP_TASK refuse the flag.
func resetClamps(p *process.Program, _ Plan) {
	const flags = unix.SCHED_FLAG_KEEP_ALL | unix.SCHED_FLAG_UTIL_CLAMP
	p.Call("reset utilisation clamps", "", unix.SYS_SCHED_SETATTR, process.Int(0), schedAttr(flags, ^uint32(0), ^uint32(0)), process.Int(0)).
		Accept = process.Accept(unix.EOPNOTSUPP, unix.EINVAL)
}

// resetAffinity allows 8192 processors, the most a kernel can be built for; it takes those of the cpuset.
func resetAffinity(p *process.Program, _ Plan) {
	mask := make([]byte, 8192/8)
	for i := range mask {
		mask[i] = 0xff
	}
	p.Call("reset affinity", "", unix.SYS_SCHED_SETAFFINITY, process.Int(0), process.Int(len(mask)), process.Data(mask))
}

func resetMemoryPolicy(p *process.Program, _ Plan) {
	p.Call("reset memory policy", "", unix.SYS_SET_MEMPOLICY, process.Int(unix.MPOL_DEFAULT), process.Int(0), process.Int(0)).
		Accept = process.Accept(unix.ENOSYS)
}

func resetIOPriority(p *process.Program, _ Plan) {
	const whoProcess = 1 // IOPRIO_WHO_PROCESS
	p.Call("reset io priority", "", unix.SYS_IOPRIO_SET, process.Int(whoProcess), process.Int(0), process.Int(0)).
		Accept = process.Accept(unix.ENOSYS)
}

func resetPersonality(p *process.Program, _ Plan) {
	p.Call("reset personality", "", unix.SYS_PERSONALITY, process.Int(0))
}

// option resets a flag by prctl(2). A kernel or machine without it has nothing to reset (EINVAL); a flag that needs a
// capability the keeper lacks (EPERM) is one it could not have set.
func option(step string, option int, value uint64) func(*process.Program, Plan) {
	return func(p *process.Program, _ Plan) {
		prctl(p, step, option, value).Accept = process.Accept(unix.EINVAL, unix.EPERM)
	}
}

// newKeyring joins an anonymous session keyring, charged to root. Kernels without keyrings have none to inherit; where
// the call is filtered (EPERM) or the quota spent (EDQUOT) the container's own filter still keeps it from the keeper's keys.
func newKeyring(p *process.Program, _ Plan) {
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
	op := writeProc(p, "set OOM score adjustment", "self/oom_score_adj", strconv.Itoa(plan.OOMScoreAdj))
	if plan.OOMScoreAdj == 0 {
		op.Accept = process.Accept(unix.EACCES)
	}
}

func resetDumpFilter(p *process.Program, _ Plan) {
	writeProc(p, "reset core dump filter", "self/coredump_filter", "0x33")
}

// writeProc writes a file below FileProc and returns the op of the write; Late closes the file.
func writeProc(p *process.Program, step, path, text string) *process.Op {
	how := openHow(unix.O_WRONLY|unix.O_CLOEXEC, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_MAGICLINKS|unix.RESOLVE_NO_XDEV)
	fd := p.CallFD(step, path, unix.SYS_OPENAT2, p.File(FileProc), process.Str(path), process.Data(how), process.Int(len(how)))
	return p.Call(fmt.Sprintf("%s to %s", step, text), path, unix.SYS_WRITE, fd, process.Data([]byte(text)), process.Int(len(text)))
}

// openHow is a struct open_how of u64 flags, mode and resolve; see openat2(2).
func openHow(flags, resolve uint64) []byte {
	how := binary.NativeEndian.AppendUint64(nil, flags)
	how = binary.NativeEndian.AppendUint64(how, 0)
	return binary.NativeEndian.AppendUint64(how, resolve)
}
