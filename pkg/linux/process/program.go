// Package process starts a process as a program: a flat list of system calls that a small interpreter
// runs in a raw child between clone3 and execve. It knows how to carry, print and run such a list;
// it refuses to know what the calls are for (that is mount, namespace, capability, seccomp, network).
//
// There are four ways through a program:
//
//	Start         clone3 --- all ops, in the starter's memory --- execve: the command
//	Run           clone3 --- all ops, in the starter's memory --- the end
//	StartParked   clone3 --- ops, in the starter's memory --- park --- ops, in memory of its own --- execve: the command
//	              ... park --- ops, in memory of its own --- reborn: a child in another pid namespace --- ops --- execve: the command
//
// While a child is in the starter's memory the starter's thread is suspended, so its ops do not wait for anybody but the
// function that the starter itself runs meanwhile (RunWith), and a watchdog ends what takes longer than Timeout. A
// parked child suspends nobody and may wait as long as it likes. One that is reborn shows itself in a container's pid namespace only when
// nothing of the starter is left in it.
package process

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Program is a list of system calls as a value: tests compare it, the keeper runs it, and it can be printed.
// Memory, descriptors and results are referred to, never addressed, so a program can cross a process border.
type Program struct {
	Ops   []Op // in the order in which they are run
	Slots int  // how many result slots the ops use

	// Files names the descriptors the program uses; whoever runs it brings a file for each name.
	Files []string
	// Clone are the namespace flags of clone3 (CLONE_NEWPID...). The starter adds CLONE_VM, CLONE_VFORK,
	// CLONE_CLEAR_SIGHAND, CLONE_PIDFD, CLONE_PARENT_SETTID, and CLONE_INTO_CGROUP when Cgroup is said.
	Clone uint64
	// Cgroup names the file (one of Files) that is the cgroup v2 directory to start in; "" for none.
	Cgroup string
	// PidNS names the file (one of Files) that is the pid namespace to start in, or a pidfd of a process in it; "" for the
	// starter's own. It must be the starter's or below it (setns(2)), and excludes CLONE_NEWPID.
	PidNS string
}

// Op is one system call. A failure ends the program and is reported as *Error with Step, Path and errno,
// unless the errno is in Accept: then the program goes on after skipping Skip ops.
type Op struct {
	Step   string // what the call is for, in the user's words: "mount proc", "set hostname"
	Path   string // what it is done to, if anything
	Nr     uint32 // unix.SYS_*
	Args   [6]Arg // the zero Arg is the number 0
	Out    Slot   // where the result goes, 0 for nowhere
	Accept Errnos // errors that do not end the program
	Skip   int    // ops to skip after an accepted error
	Else   int    // ops to skip after success
}

// Slot is the number of a result slot, from 1. It holds the latest result of the op that names it, a descriptor say.
type Slot int

// Errnos is a set of error numbers below 128.
type Errnos [2]uint64

// Accept makes a set of error numbers.
func Accept(errnos ...unix.Errno) (s Errnos) {
	for _, e := range errnos {
		s[e/64] |= 1 << (e % 64)
	}
	return s
}

// Has tells whether e is in the set.
func (s Errnos) Has(e unix.Errno) bool { return e < 128 && s[e/64]&(1<<(e%64)) != 0 }

// Arg is one argument of a system call.
type Arg struct {
	Kind    ArgKind
	Int     uint64 // ArgInt: the value; ArgFile: index into Program.Files; ArgSlot: the Slot
	*Memory        // ArgData: what is pointed to; nil for NULL
}

// Memory is what an argument points to. Most arguments are numbers, so that it stands apart.
type Memory struct {
	Data []byte // bytes whose address is passed; the call may write into them
	Refs []Ref  // pointers and slots to be put into Data (argv, iovec, sock_fprog)
}

// memory is what an argument points to, nothing for all others.
func (a *Arg) memory() (m Memory) {
	if a.Memory != nil {
		m = *a.Memory
	}
	return m
}

// ArgKind says what an argument is.
type ArgKind uint8

// The kinds of argument.
const (
	ArgInt  ArgKind = iota // a plain number
	ArgData                // the address of Data
	ArgFile                // the descriptor number of a file
	ArgSlot                // the value in a slot
)

// Ref fills a place in the data it belongs to, at byte offset At: before the program runs with the address of Data or, if
// To is said, with that of byte To of the very data it belongs to; or before each call with the low four bytes of Slot's
// value, which is a descriptor as struct pollfd and struct landlock_path_beneath_attr hold it.
type Ref struct {
	At   int
	Data []byte
	To   int
	Slot Slot
}

// size is how many bytes a reference fills.
func (r *Ref) size() int {
	if r.Slot != 0 {
		return slotRefSize
	}
	return wordSize
}

const slotRefSize = 4

// Int is a plain number; negative values (AT_FDCWD) are sign-extended.
func Int[T ~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64 | ~uintptr](n T) Arg {
	return Arg{Kind: ArgInt, Int: uint64(n)}
}

// Str is the address of a NUL-terminated copy of s.
func Str(s string) Arg { return Data(append([]byte(s), 0)) }

// Data is the address of b, NULL if that is empty.
func Data(b []byte, refs ...Ref) Arg {
	if len(b) == 0 {
		return Arg{Kind: ArgData}
	}
	return Arg{Kind: ArgData, Memory: &Memory{b, refs}}
}

// In is the value in slot s.
func In(s Slot) Arg { return Arg{Kind: ArgSlot, Int: uint64(s)} }

// Strs is the address of a NULL-terminated array of pointers to NUL-terminated strings, as execve wants.
func Strs(ss []string) Arg {
	refs := slices.Grow([]Ref(nil), len(ss))
	for i, s := range ss {
		refs = append(refs, Ref{At: 8 * i, Data: append([]byte(s), 0)})
	}
	return Data(make([]byte, 8*(len(ss)+1)), refs...)
}

// File is the descriptor of the named file, which joins Files when it is new.
func (p *Program) File(name string) Arg {
	i := slices.Index(p.Files, name)
	if i < 0 {
		i = len(p.Files)
		p.Files = append(p.Files, name)
	}
	return Arg{Kind: ArgFile, Int: uint64(i)}
}

// Slot reserves a result slot.
func (p *Program) Slot() Slot {
	p.Slots++
	return Slot(p.Slots)
}

// Call appends a system call and returns it for Out, Accept, Skip to be set; valid until the next Call.
func (p *Program) Call(step, path string, nr uint32, args ...Arg) *Op {
	op := Op{Step: step, Path: path, Nr: nr}
	copy(op.Args[:], args)
	p.Ops = append(p.Ops, op)
	return &p.Ops[len(p.Ops)-1]
}

// CallFD is Call for a system call whose result later ops use; it returns that result's argument.
func (p *Program) CallFD(step, path string, nr uint32, args ...Arg) Arg {
	s := p.Slot()
	p.Call(step, path, nr, args...).Out = s
	return In(s)
}
