package process

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// assembly is a program in the form the child runs: one block of memory, in this order: the frame, the records, the
// words (constants, slots, time stamps), the data. It is allocated on the heap, where nothing moves, and
// holds no Go pointer.
type assembly struct {
	program *Program
	memory  []uint64
	frame   *frame
	records []record
	stamps  []uint64 // of the parent, then of the child; empty unless traced
	words   []uint64 // not yet handed out
	data    []byte   // not yet handed out
	unused  uintptr  // the address of a zero word, for arguments that are not given
	sink    uintptr  // the address of a word that nobody reads, for results that are not wanted
	slots   uintptr  // the address of slot 1
}

const (
	wordSize     = 8
	frameWords   = int(unsafe.Sizeof(frame{}) / wordSize)
	opWords      = int(unsafe.Sizeof(record{}) / wordSize)
	cloneWords   = 2 // constants of the clone3 call
	parentStamps = 2 // before and after that call
)

// dataAlign is the alignment of every piece of data: enough for each struct of the kernel's interface.
const dataAlign = 8

func assemble(p *Program, fds []int, traced bool) *assembly {
	words, data := measure(p)
	words += 2 + p.Slots + cloneWords
	stamps := 0
	if traced {
		stamps = parentStamps + 1 + len(p.Ops)
	}
	fixed := frameWords + len(p.Ops)*opWords
	memory := make([]uint64, fixed+stamps+words+data/wordSize)

	a := &assembly{program: p, memory: memory}
	a.frame = (*frame)(unsafe.Pointer(&memory[0]))
	a.records = unsafe.Slice((*record)(unsafe.Pointer(&memory[frameWords])), len(p.Ops)+1)[:len(p.Ops)]
	a.stamps = memory[fixed : fixed+stamps]
	a.words = memory[fixed+stamps : fixed+stamps+words]
	if data > 0 {
		a.data = unsafe.Slice((*byte)(unsafe.Pointer(&memory[fixed+stamps+words])), data)
	}
	a.unused, a.sink = a.word(0), a.word(0)
	a.putSlots(p.Slots)
	for i := range p.Ops {
		a.putOp(i, fds)
	}
	a.putFrame(fds)
	return a
}

// measure tells how many words and bytes of data the arguments of a program take.
func measure(p *Program) (words, data int) {
	for i := range p.Ops {
		for n := range p.Ops[i].Args {
			arg := &p.Ops[i].Args[n]
			switch {
			case arg.Kind == ArgData:
				words++
				data += aligned(len(arg.Data))
				for _, ref := range arg.Refs {
					data += aligned(len(ref.Data))
				}
			case arg.Kind == ArgFile || arg.Int != 0 && arg.Kind == ArgInt:
				words++
			}
		}
	}
	return words, data
}

func aligned(n int) int { return (n + dataAlign - 1) &^ (dataAlign - 1) }

// word puts a number into memory and returns where.
func (a *assembly) word(n uint64) uintptr {
	w := &a.words[0]
	a.words = a.words[1:]
	*w = n
	return uintptr(unsafe.Pointer(w))
}

// bytes puts data into memory and returns the copy.
func (a *assembly) bytes(b []byte) []byte {
	at := a.data[:len(b):len(b)]
	a.data = a.data[aligned(len(b)):]
	copy(at, b)
	return at
}

func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// putSlots reserves the slots. Until an op writes one it is -1, which is no descriptor.
func (a *assembly) putSlots(n int) {
	if n == 0 {
		return
	}
	a.slots = a.word(^uint64(0))
	for range n - 1 {
		a.word(^uint64(0))
	}
}

func (a *assembly) slot(s Slot) uintptr { return a.slots + uintptr(s-1)*wordSize }

func (a *assembly) putOp(i int, fds []int) {
	op, r := &a.program.Ops[i], &a.records[i]
	*r = record{
		nr:       uintptr(op.Nr),
		out:      a.sink,
		accept:   op.Accept,
		then:     a.recordAddress(i + 1 + op.Else),
		accepted: a.recordAddress(i + 1 + op.Skip),
		result:   notRun,
	}
	if op.Out != 0 {
		r.out = a.slot(op.Out)
	}
	for n := range op.Args {
		r.args[n] = a.argument(&op.Args[n], fds)
	}
}

// argument puts an argument into memory and returns where it is to be read.
func (a *assembly) argument(arg *Arg, fds []int) uintptr {
	switch arg.Kind {
	case ArgData:
		if len(arg.Data) == 0 {
			return a.unused // NULL
		}
		b := a.bytes(arg.Data)
		for _, ref := range arg.Refs {
			binary.NativeEndian.PutUint64(b[ref.At:], uint64(address(a.bytes(ref.Data))))
		}
		return a.word(uint64(address(b)))
	case ArgFile:
		return a.word(uint64(fds[arg.Int]))
	case ArgSlot:
		return a.slot(Slot(arg.Int))
	default:
		if arg.Int == 0 {
			return a.unused
		}
		return a.word(arg.Int)
	}
}

func (a *assembly) recordAddress(i int) uintptr {
	return uintptr(unsafe.Pointer(&a.memory[frameWords])) + uintptr(i*opWords*wordSize)
}

// index is the reverse of recordAddress.
func (a *assembly) index(address uintptr) int {
	return int(address-a.recordAddress(0)) / (opWords * wordSize)
}

func (a *assembly) result(i int) int64 { return a.records[i].result }

// putFrame writes the clone3 call and the bounds of the program.
func (a *assembly) putFrame(fds []int) {
	f := a.frame
	f.args = cloneArgs{
		flags:      unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_CLEAR_SIGHAND | unix.CLONE_PIDFD | a.program.Clone,
		pidfd:      uint64(uintptr(unsafe.Pointer(&f.pidfd))),
		exitSignal: uint64(unix.SIGCHLD),
	}
	if a.program.Cgroup != "" {
		f.args.flags |= unix.CLONE_INTO_CGROUP
		f.args.cgroup = uint64(fds[slices.Index(a.program.Files, a.program.Cgroup)])
	}
	f.clone = record{nr: unix.SYS_CLONE3, args: [6]uintptr{
		a.word(uint64(uintptr(unsafe.Pointer(&f.args)))), a.word(uint64(unsafe.Sizeof(f.args))),
		a.unused, a.unused, a.unused, a.unused,
	}}
	f.pidfd = -1
	f.first, f.end = a.recordAddress(0), a.recordAddress(len(a.records))
	f.current = f.first
	if len(a.stamps) > 0 {
		f.clock = uintptr(unsafe.Pointer(&a.stamps[0]))
		f.ticks = uintptr(unsafe.Pointer(&a.stamps[parentStamps]))
	}
}
