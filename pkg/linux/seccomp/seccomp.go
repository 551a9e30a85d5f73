// Package seccomp decides which system calls a container's processes may make, and compiles that decision into a
// filter. It knows system call numbers, classic BPF and the profiles of the OCI runtime specification; it refuses to know
// who is filtered.
//
// A Policy is a value: rules by system call name. Compile turns it into a binary search over the numbers of each
// architecture, so that a call costs the logarithm of the list, and the calls whose verdict depends on no argument cost
// nothing, because the kernel finds them by itself (seccomp_cache_prepare in kernel/seccomp.c).
//
// What the verdicts of the default policy are for:
//
//   - A system call that the architecture's table does not know, because it is newer than this program or does not
//     exist, fails with ENOSYS: programs try new calls and fall back when the kernel lacks them.
//   - One that it knows and no rule allows fails with EPERM.
//   - x32 calls on amd64 (numbers from 0x40000000) are unknown ones.
//   - A call through another architecture's entry (i386 on amd64, arm on arm64) kills the process. Such calls would
//     need a second list kept as carefully as the first, programs seldom make them for other reasons than to get round a
//     filter, and an errno would leave a 32-bit program unable even to exit. 32-bit images need seccomp: Unconfined, or a
//     profile that names their architecture.
//
// No filter is asked about uprobe(2) and uretprobe(2), which the kernel's own probes make (seccomp_uprobe_exception), and what
// the vDSO answers is no call.
//
// A profile has the meaning that runc and libseccomp give it; package-level differences are named where they are made
// (policy.go, multiplex.go). Cache.For finds the filter that a manifest asks for.
package seccomp

import (
	"golang.org/x/sys/unix"
)

// Action is what happens to a system call: one of the constants, Errno(e) or Trace(m). See seccomp(2), SECCOMP_RET_*.
type Action uint32

// The actions besides Errno and Trace.
const (
	Allow      Action = unix.SECCOMP_RET_ALLOW
	Log        Action = unix.SECCOMP_RET_LOG          // allowed, and written to the audit log
	Notify     Action = unix.SECCOMP_RET_USER_NOTIF   // decided by the holder of the filter's listener
	Trap       Action = unix.SECCOMP_RET_TRAP         // SIGSYS, which can be handled
	KillThread Action = unix.SECCOMP_RET_KILL_THREAD  // the thread that made the call
	Kill       Action = unix.SECCOMP_RET_KILL_PROCESS // the whole process, as by SIGSYS
)

// Errno makes the call fail with e without running; 0 makes it succeed without.
func Errno(e unix.Errno) Action { return unix.SECCOMP_RET_ERRNO | Action(e)&unix.SECCOMP_RET_DATA }

// Trace hands the call to a tracer with a message, see PTRACE_EVENT_SECCOMP in ptrace(2); without a tracer it fails with ENOSYS.
func Trace(message uint16) Action { return unix.SECCOMP_RET_TRACE | Action(message) }

// stricter tells whether an action comes before another one where filters disagree: the kernel compares them as signed numbers.
func (a Action) stricter(than Action) bool {
	return int32(a&unix.SECCOMP_RET_ACTION_FULL) < int32(than&unix.SECCOMP_RET_ACTION_FULL)
}

// Policy says what happens to every system call.
type Policy struct {
	// Rules are tried in order; the first that matches a call decides.
	Rules []Rule
	// Denied is the verdict on calls that are known and match no rule.
	Denied Action
	// Unknown is the verdict on numbers that the architecture does not have.
	Unknown Action
	// Newest makes calls with a number above the highest that a rule names for an architecture fail with ENOSYS, known
	// or not: the author of the rules has not seen them.
	Newest bool
	// X32 is the verdict on x32 calls (numbers from 0x40000000 on amd64) where x32 is none of the architectures. The
	// number -1 is not one of them but an Unknown one: a tracer writes it to skip a call.
	X32 Action
	// Foreign is the verdict on calls of another architecture.
	Foreign Action
}

// Rule is a verdict on some calls.
type Rule struct {
	// Calls are names without sys_; those an architecture lacks are passed over there.
	Calls []string
	// If are conditions that must all hold, at most 32; none holds always.
	If []Condition
	// Then is the verdict.
	Then Action
}

// Condition compares one argument, from 0 to 5, with a value. The argument is a number without sign of 64 bits, or of 32
// where the architecture has 32, which then also takes the value's lower half.
type Condition struct {
	Arg int
	Op  Op
	// Mask are the bits that Equal compares; the other ops compare all and have no mask. Mask the bits the kernel
	// reads: 1<<32-1 for an int, or the upper half would be a way round the filter.
	Mask  uint64
	Value uint64
}

// Op is a comparison.
type Op uint8

// The comparisons.
const (
	Equal Op = iota // of the bits of the mask
	NotEqual
	Less
	LessOrEqual
	GreaterOrEqual
	Greater
)

// Filter is a compiled policy; nil filters nothing.
type Filter []unix.SockFilter
