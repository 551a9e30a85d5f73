package process

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// assembly is a program in the form the child runs: one block of memory, in this order: the frame, the records, the
// words (constants and slots), the data. It holds no Go pointer, and does not move: it is on the heap, or
// in an image that a parked child maps at the same address.
type assembly struct {
	program *Program
	park    int // the op that parks, or -1
	layout
	base    uintptr // the address of the memory
	memory  []uint64
	frame   *frame
	records []record
	origins []int32  // of each record: the op it is part of
	own     []int32  // of each op: the record that is its call
	words   []uint64 // not yet handed out
	data    []byte   // not yet handed out
	unused  uintptr  // the address of a zero word, for arguments that are not given
	sink    uintptr  // the address of a word that nobody reads, for results that are not wanted
	slots   uintptr  // the address of slot 1
	move    int      // the next of the records that are kept for the slots an op's data takes in
}

// added is a system call that is put before an op for the starter's own ends; it counts as part of op `of`.
type added struct {
	before, of int
	op         Op
}

// layout is how many words and bytes the parts of an assembly take.
type layout struct {
	recordCount, wordCount, dataSize int
}

const (
	wordSize   = 8
	frameWords = int(unsafe.Sizeof(frame{}) / wordSize)
	opWords    = int(unsafe.Sizeof(record{}) / wordSize)
	cloneWords = 2 // constants of the clone3 call
)

// dataAlign is the alignment of every piece of data: enough for each struct of the kernel's interface.
const dataAlign = 8

// measure tells how much memory a program takes.
func measure(p *Program, more []added) (l layout) {
	l.recordCount = len(p.Ops) + len(more)
	l.wordCount = 2 + p.Slots + cloneWords
	for i := range p.Ops {
		l.add(&p.Ops[i])
	}
	for i := range more {
		l.add(&more[i].op)
	}
	return l
}

func (l *layout) add(op *Op) {
	for n := range op.Args {
		arg := &op.Args[n]
		switch m := arg.memory(); {
		case arg.Kind == ArgData && len(m.Data) > 0:
			l.wordCount++
			l.dataSize += aligned(len(m.Data))
			for i := range m.Refs {
				l.dataSize += aligned(len(m.Refs[i].Data))
			}
		case arg.Kind == ArgFile || arg.Int != 0 && arg.Kind == ArgInt:
			l.wordCount++
		}
	}
	l.recordCount += op.slotRefs()
}

// slotRefs is how many slots the data of an op takes in.
func (op *Op) slotRefs() (count int) {
	for n := range op.Args {
		for _, ref := range op.Args[n].memory().Refs {
			if ref.Slot != 0 {
				count++
			}
		}
	}
	return count
}

func aligned(n int) int { return (n + dataAlign - 1) &^ (dataAlign - 1) }

// readable is how many words tell how a program went: all but the data.
func (l *layout) readable() int {
	return frameWords + l.recordCount*opWords + l.wordCount
}

func (l *layout) total() int { return l.readable() + l.dataSize/wordSize }

// assemble fills zeroed memory of the layout's total size.
func assemble(p *Program, fds []int, more []added, l layout, memory []uint64) *assembly {
	a := &assembly{program: p, park: -1, layout: l, base: uintptr(unsafe.Pointer(&memory[0]))}
	a.view(memory)
	begin := l.readable() - l.wordCount
	a.words = memory[begin : begin+l.wordCount]
	if l.dataSize > 0 {
		a.data = unsafe.Slice((*byte)(unsafe.Pointer(&memory[l.readable()])), l.dataSize)
	}
	a.origins, a.own = make([]int32, l.recordCount), make([]int32, len(p.Ops))
	a.unused, a.sink = a.word(0), a.word(0)
	a.putSlots(p.Slots)
	a.putOps(more, fds)
	a.putFrame(fds)
	return a
}

// view makes memory, which may be a copy without the data, the one that frame and records are seen in.
func (a *assembly) view(memory []uint64) {
	a.memory = memory
	a.frame = (*frame)(unsafe.Pointer(&memory[0]))
	a.records = unsafe.Slice((*record)(unsafe.Pointer(&memory[frameWords])), a.recordCount)
	a.words, a.data = nil, nil
}

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

// slotWord is where a slot is in memory.
func (a *assembly) slotWord(s Slot) int { return int(a.slot(s)-a.base) / wordSize }

// putOps writes all records: for each op what is added before it, the moves of slots into its data, and its call.
func (a *assembly) putOps(more []added, fds []int) {
	first := a.firstRecords(more)
	for i := range a.program.Ops {
		at := int(first[i])
		for ; len(more) > 0 && more[0].before == i; more = more[1:] {
			a.origins[at] = int32(more[0].of)
			a.move = at
			a.put(at, &more[0].op, at+1, at+1, fds)
			at++
		}
		op, own := &a.program.Ops[i], int(first[i+1])-1
		for n := at; n <= own; n++ {
			a.origins[n] = int32(i)
		}
		a.move, a.own[i] = at, int32(own)
		a.put(own, op, int(first[i+1+op.Else]), int(first[i+1+op.Skip]), fds)
	}
}

// firstRecords is the number of the record that each op begins with, and of the end.
func (a *assembly) firstRecords(more []added) []int32 {
	first := make([]int32, len(a.program.Ops)+1)
	next := 0
	for i := range a.program.Ops {
		first[i] = int32(next)
		for ; len(more) > 0 && more[0].before == i; more = more[1:] {
			next++
		}
		next += a.program.Ops[i].slotRefs() + 1
	}
	first[len(first)-1] = int32(next)
	return first
}

// put writes the record of a system call, to go on with record `then`, or with record `accepted` after an accepted error.
func (a *assembly) put(i int, op *Op, then, accepted int, fds []int) {
	r := &a.records[i]
	*r = record{
		nr:       uintptr(op.Nr),
		out:      a.sink,
		accept:   op.Accept,
		then:     a.recordAddress(then),
		accepted: a.recordAddress(accepted),
		result:   notRun,
	}
	if op.Nr == reborn {
		r.nr = rebirth
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
		m := arg.memory()
		if len(m.Data) == 0 {
			return a.unused // NULL
		}
		b := a.bytes(m.Data)
		for i := range m.Refs {
			a.putRef(&m.Refs[i], b)
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

func (a *assembly) putRef(ref *Ref, b []byte) {
	if ref.Slot != 0 {
		next := a.recordAddress(a.move + 1)
		args := [6]uintptr{a.slot(ref.Slot), address(b[ref.At:])}
		a.records[a.move] = record{nr: moves, args: args, out: a.sink, then: next, accepted: next, result: notRun}
		a.move++
		return
	}
	to := address(b) + uintptr(ref.To)
	if ref.To == 0 {
		to = address(a.bytes(ref.Data))
	}
	binary.NativeEndian.PutUint64(b[ref.At:], uint64(to))
}

func (a *assembly) recordAddress(i int) uintptr {
	return a.base + uintptr((frameWords+i*opWords)*wordSize)
}

// index is the op whose record is at an address.
func (a *assembly) index(address uintptr) int {
	return int(a.origins[a.record(address)])
}

// record is the number of the record at an address, or of the first one: what wrote the address may be a stranger's by now.
func (a *assembly) record(address uintptr) int {
	if i := (address - a.recordAddress(0)) / uintptr(opWords*wordSize); address >= a.recordAddress(0) && i < uintptr(len(a.records)) {
		return int(i)
	}
	return 0
}

// result is what the kernel returned to an op, or notRun.
func (a *assembly) result(op int) int64 { return a.records[a.own[op]].result }

func (a *assembly) results() []int64 {
	all := make([]int64, len(a.own))
	for i := range all {
		all[i] = a.result(i)
	}
	return all
}

// putFrame writes the clone3 call and the bounds of the program.
func (a *assembly) putFrame(fds []int) {
	f := a.frame
	f.args = cloneArgs{
		flags: unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_CLEAR_SIGHAND | unix.CLONE_PIDFD | unix.CLONE_PARENT_SETTID |
			a.program.Clone,
		pidfd:      uint64(uintptr(unsafe.Pointer(&f.pidfd))),
		parentTID:  uint64(uintptr(unsafe.Pointer(&f.pid))),
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
}
