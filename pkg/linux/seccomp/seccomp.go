// Package seccomp decides which system calls a container's processes may make, and compiles that decision into a
// filter. It knows system call numbers and classic BPF; it refuses to know manifests and who is filtered.
//
// A Policy is a value: rules by system call name. Compile turns it into a binary search over the numbers of one
// architecture, so that a call costs the logarithm of the list, and the calls whose verdict depends on no argument cost
// nothing, because the kernel finds them by itself (seccomp_cache_prepare in kernel/seccomp.c).
//
// What the verdicts are for:
//
//   - A system call that the architecture's table does not know, because it is newer than this program or does not
//     exist, fails with ENOSYS: programs try new calls and fall back when the kernel lacks them.
//   - One that it knows and no rule allows fails with EPERM.
//   - x32 calls on amd64 (numbers from 0x40000000) are unknown ones.
//   - A call through another architecture's entry (i386 on amd64, arm on arm64) kills the process. Such calls would
//     need a second list kept as carefully as the first, programs seldom make them for other reasons than to get round a
//     filter, and an errno would leave a 32-bit program unable even to exit. 32-bit images need seccomp: Unconfined.
package seccomp

import (
	"golang.org/x/sys/unix"
)

// Action is what happens to a system call: one of Allow, Kill or Errno(e). See seccomp(2), SECCOMP_RET_*.
type Action uint32

// The actions besides Errno.
const (
	Allow Action = unix.SECCOMP_RET_ALLOW
	Kill  Action = unix.SECCOMP_RET_KILL_PROCESS // the whole process, as by SIGSYS
)

// Errno makes the call fail with e without running.
func Errno(e unix.Errno) Action { return unix.SECCOMP_RET_ERRNO | Action(e)&unix.SECCOMP_RET_DATA }

// Policy says what happens to every system call.
type Policy struct {
	// Rules are tried in order; the first that matches a call decides.
	Rules []Rule
	// Denied is the verdict on calls that are known and match no rule.
	Denied Action
	// Unknown is the verdict on numbers that the architecture does not have.
	Unknown Action
	// Foreign is the verdict on calls of another architecture.
	Foreign Action
}

// Rule is a verdict on some calls.
type Rule struct {
	// Calls are names without sys_; those an architecture lacks are passed over there.
	Calls []string
	// If are conditions that must all hold; none holds always.
	If []Condition
	// Then is the verdict.
	Then Action
}

// Condition compares one argument: argument Arg (0 to 5) masked by Mask equals Value.
// Mask the bits the kernel reads: 1<<32-1 for an int, or the upper half would be a way round the filter.
type Condition struct {
	Arg         int
	Mask, Value uint64
}

// Filter is a compiled policy for one architecture; nil filters nothing.
type Filter []unix.SockFilter
