package spec

// SeccompByProfile filters system calls as a profile says, see Security.SeccompProfile and Security.SeccompProfileFile.
const SeccompByProfile SeccompMode = "Profile"

// SeccompProfile is a system call filter in the words of the OCI runtime specification's linux.seccomp. See seccomp(2).
type SeccompProfile struct {
	// DefaultAction is what happens to a call that no rule fits; it must be said. With SCMP_ACT_ERRNO, and the actions that kill or trap, calls newer than any the profile names fail with ENOSYS instead.
	DefaultAction SeccompAction `json:"defaultAction,omitzero" class:"replace"`
	// DefaultErrnoRet is the error of SCMP_ACT_ERRNO, or the message of SCMP_ACT_TRACE, as the default action. Default 1, EPERM.
	DefaultErrnoRet ErrnoRet `json:"defaultErrnoRet,omitzero" class:"replace" min:"0" max:"65535"`
	// Architectures are those whose calls the rules are for beside the node's own, for example SCMP_ARCH_X86. A call of another architecture kills the thread.
	Architectures []SeccompArch `json:"architectures,omitzero" class:"replace"`
	// Flags are those of seccomp(2). Default SECCOMP_FILTER_FLAG_SPEC_ALLOW.
	Flags []SeccompFlag `json:"flags,omitzero" class:"replace"`
	// ListenerPath is the unix socket of the program on the node that decides about SCMP_ACT_NOTIFY. It is sent the filter's descriptor.
	ListenerPath string `json:"listenerPath,omitzero" class:"replace" format:"path"`
	// ListenerMetadata is a text that is sent along.
	ListenerMetadata string `json:"listenerMetadata,omitzero" class:"replace" format:"note"`
	// Syscalls are the rules. For a call that several fit, one without args decides before those with; else the first.
	Syscalls []SeccompRule `json:"syscalls,omitzero" class:"replace"`
}

// SeccompRule is what happens to some calls.
type SeccompRule struct {
	// Names are names of system calls; a name that this version does not know is passed over.
	Names []string `json:"names" class:"replace" format:"syscall"`
	// Action is what happens to the calls.
	Action SeccompAction `json:"action" class:"replace"`
	// ErrnoRet is the error of SCMP_ACT_ERRNO, or the message of SCMP_ACT_TRACE. Default 1, EPERM.
	ErrnoRet ErrnoRet `json:"errnoRet,omitzero" class:"replace" min:"0" max:"65535"`
	// Args are conditions on the call's arguments, of which all must hold; but where two are on one argument, each of the list is a rule of its own.
	Args []SeccompArg `json:"args,omitzero" class:"replace"`
}

// SeccompArg compares an argument of a call, as an unsigned number of 64 bits.
type SeccompArg struct {
	// Index is the argument's number, from 0.
	Index uint32 `json:"index" class:"replace" min:"0" max:"5"`
	// Value is what the argument is compared with; for SCMP_CMP_MASKED_EQ the mask.
	Value uint64 `json:"value" class:"replace"`
	// ValueTwo is what the masked argument is compared with.
	ValueTwo uint64 `json:"valueTwo,omitzero" class:"replace"`
	// Op is the comparison.
	Op SeccompOp `json:"op" class:"replace"`
}

// SeccompAction is what happens to a call.
type SeccompAction string

// The actions, see SECCOMP_RET_* in seccomp(2).
const (
	SeccompKill        SeccompAction = "SCMP_ACT_KILL" // the older word for SCMP_ACT_KILL_THREAD
	SeccompKillProcess SeccompAction = "SCMP_ACT_KILL_PROCESS"
	SeccompKillThread  SeccompAction = "SCMP_ACT_KILL_THREAD"
	SeccompTrap        SeccompAction = "SCMP_ACT_TRAP"
	SeccompErrno       SeccompAction = "SCMP_ACT_ERRNO"
	SeccompTrace       SeccompAction = "SCMP_ACT_TRACE"
	SeccompAllow       SeccompAction = "SCMP_ACT_ALLOW"
	SeccompLog         SeccompAction = "SCMP_ACT_LOG"
	SeccompNotify      SeccompAction = "SCMP_ACT_NOTIFY"
)

// SeccompActions are all of them.
var SeccompActions = []SeccompAction{
	SeccompKill, SeccompKillProcess, SeccompKillThread, SeccompTrap, SeccompErrno, SeccompTrace, SeccompAllow, SeccompLog, SeccompNotify,
}

// SeccompOp is a comparison.
type SeccompOp string

// The comparisons.
const (
	SeccompNotEqual       SeccompOp = "SCMP_CMP_NE"
	SeccompLess           SeccompOp = "SCMP_CMP_LT"
	SeccompLessOrEqual    SeccompOp = "SCMP_CMP_LE"
	SeccompEqual          SeccompOp = "SCMP_CMP_EQ"
	SeccompGreaterOrEqual SeccompOp = "SCMP_CMP_GE"
	SeccompGreater        SeccompOp = "SCMP_CMP_GT"
	SeccompMaskedEqual    SeccompOp = "SCMP_CMP_MASKED_EQ"
)

// SeccompOps are all of them.
var SeccompOps = []SeccompOp{
	SeccompNotEqual, SeccompLess, SeccompLessOrEqual, SeccompEqual, SeccompGreaterOrEqual, SeccompGreater, SeccompMaskedEqual,
}

// SeccompFlag is a flag of seccomp(2).
type SeccompFlag string

// The flags.
const (
	SeccompTSync            SeccompFlag = "SECCOMP_FILTER_FLAG_TSYNC" // a process begins with one thread: it changes nothing
	SeccompLogFlag          SeccompFlag = "SECCOMP_FILTER_FLAG_LOG"
	SeccompSpecAllow        SeccompFlag = "SECCOMP_FILTER_FLAG_SPEC_ALLOW"
	SeccompWaitKillableRecv SeccompFlag = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" // only with SCMP_ACT_NOTIFY
)

// SeccompFlags are all of them.
var SeccompFlags = []SeccompFlag{SeccompTSync, SeccompLogFlag, SeccompSpecAllow, SeccompWaitKillableRecv}

// SeccompArch is an architecture in the words of libseccomp.
type SeccompArch string

// The architectures of the nodes this program runs on, with those whose programs they run as well.
const (
	SeccompX86     SeccompArch = "SCMP_ARCH_X86"
	SeccompX8664   SeccompArch = "SCMP_ARCH_X86_64"
	SeccompX32     SeccompArch = "SCMP_ARCH_X32"
	SeccompARM     SeccompArch = "SCMP_ARCH_ARM"
	SeccompAARCH64 SeccompArch = "SCMP_ARCH_AARCH64"
)

// SeccompArchs are all that a profile may name: no call of the others comes from a node's programs.
var SeccompArchs = []SeccompArch{
	SeccompX86, SeccompX8664, SeccompX32, SeccompARM, SeccompAARCH64,
	"SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL",
	"SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64",
	"SCMP_ARCH_PPC64LE", "SCMP_ARCH_RISCV64", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB",
}
