package process

import (
	_ "unsafe" // go:linkname
)

// frame is a program as the assembly reads it: plain words in one block of memory that holds every address it
// contains. It is the border between Go and the child, which touches nothing else.
type frame struct {
	clone   record    // the clone3 call; its zero result is the child
	args    cloneArgs // of the clone3 call
	pidfd   int32     // written by the kernel before the child runs
	pid     int32     // likewise, as the starter sees it
	current uintptr   // the record being run
	failed  uintptr   // the record whose error ended the program
	first   uintptr   // the first record
	end     uintptr   // past the last record
}

// record is one op, or a small step that the assembler adds to one. Each argument is read through an address, so that
// numbers, slots and descriptors are all alike. The parker reads frame and record as well: parker/layout.inc.
type record struct {
	nr       uintptr    // of the system call, or moves, or rebirth
	args     [6]uintptr // where each argument is
	out      uintptr    // where the result goes
	accept   Errnos
	then     uintptr // the record to go on with after success
	accepted uintptr // the record to go on with after an accepted error
	result   int64   // what the kernel returned: -errno, or notRun
}

// What a record can be in place of a system call. The second only the parker knows.
const (
	moves   = ^uintptr(0)     // copies the four bytes at args[0] to args[1]
	rebirth = ^uintptr(0) - 1 // has a child that goes on, and ends
)

// notRun is the result of a record that was never run; no system call returns it.
const notRun = -1 << 63

// cloneArgs is struct clone_args of linux/sched.h, up to the cgroup (Linux 5.7).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// spawn makes the clone call and, in the child, runs the program; see run_*.s.
//
//go:noescape
func spawn(f *frame) (result int)

// run is spawn as a blocking system call of this thread: a stop of the world does not wait for it. The child
// shares the memory but never returns into Go, so nothing of the runtime's needs to be fork-safe.
//
//go:nosplit
//go:noinline
//go:norace
func run(f *frame) int {
	entersyscall()
	result := spawn(f)
	exitsyscall()
	return result
}

// The two halves of the runtime's syscall.Syscall, kept linkable for others by its authors (golang.org/issue/67401).

//go:linkname entersyscall runtime.entersyscall
//go:nosplit
func entersyscall()

//go:linkname exitsyscall runtime.exitsyscall
//go:nosplit
func exitsyscall()
