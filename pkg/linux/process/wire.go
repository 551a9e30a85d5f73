package process

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// wireVersion is the first byte of the wire form. After it come, as varints and length-prefixed strings: the files,
// slots, clone flags, cgroup and pid namespace; the numbers of ops and of references; then each op with its arguments up to
// the last that is not zero.
const wireVersion = 2

var errTruncated = errors.New("truncated")

// MarshalBinary gives the wire form of a program that passes Check.
func (p *Program) MarshalBinary() ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	size, refs := p.wireSize()
	w := append(make([]byte, 0, size), wireVersion)
	w = putUint(w, len(p.Files))
	for _, name := range p.Files {
		w = putBytes(w, name)
	}
	w = putUint(w, p.Slots)
	w = binary.AppendUvarint(w, p.Clone)
	w = putBytes(w, p.Cgroup)
	w = putBytes(w, p.PidNS)
	w = putUint(w, len(p.Ops))
	w = putUint(w, refs)
	for i := range p.Ops {
		w = p.Ops[i].append(w)
	}
	if len(w) > MaxSize {
		return nil, fmt.Errorf("bad program: %d bytes, must be at most %d", len(w), MaxSize)
	}
	return w, nil
}

// wireSize is about how many bytes the wire form takes, and how many references there are.
func (p *Program) wireSize() (size, refs int) {
	const head, most, least = 64, 64, 12 // of the program; of an op and of a reference without their data
	size = head
	for i := range p.Ops {
		op := &p.Ops[i]
		size += most + len(op.Step) + len(op.Path)
		for n := range op.Args {
			m := op.Args[n].memory()
			size += len(m.Data)
			refs += len(m.Refs)
			for _, ref := range m.Refs {
				size += least + len(ref.Data)
			}
		}
	}
	return size, refs
}

func (op *Op) append(w []byte) []byte {
	w = putBytes(w, op.Step)
	w = putBytes(w, op.Path)
	w = putUint(w, int(op.Nr))
	w = putUint(w, int(op.Out))
	w = binary.AppendUvarint(w, op.Accept[0])
	w = binary.AppendUvarint(w, op.Accept[1])
	w = putUint(w, op.Skip)
	w = putUint(w, op.Else)
	n := len(op.Args)
	for n > 0 && op.Args[n-1].Kind == ArgInt && op.Args[n-1].Int == 0 {
		n--
	}
	w = append(w, byte(n))
	for i := range n {
		w = op.Args[i].append(w)
	}
	return w
}

func (arg *Arg) append(w []byte) []byte {
	w = append(w, byte(arg.Kind))
	if arg.Kind != ArgData {
		return binary.AppendVarint(w, int64(arg.Int)) // signed: AT_FDCWD is short
	}
	m := arg.memory()
	w = putBytes(w, m.Data)
	w = putUint(w, len(m.Refs))
	for _, ref := range m.Refs {
		w = putBytes(putUint(putUint(putUint(w, ref.At), ref.To), int(ref.Slot)), ref.Data)
	}
	return w
}

func putUint(w []byte, n int) []byte { return binary.AppendUvarint(w, uint64(n)) }

func putBytes[T string | []byte](w []byte, b T) []byte { return append(putUint(w, len(b)), b...) }

// UnmarshalBinary reads the wire form into p, which shares no memory with it. Whatever the bytes are, the result is an
// error or a program that passes Check, and some ten megabytes are taken at most.
func (p *Program) UnmarshalBinary(wire []byte) error {
	if len(wire) > MaxSize {
		return fmt.Errorf("cannot read program: %d bytes, must be at most %d", len(wire), MaxSize)
	}
	if len(wire) == 0 || wire[0] != wireVersion {
		return fmt.Errorf("cannot read program: not of version %d", wireVersion)
	}
	text := string(wire)
	r := &wireReader{text: text[1:], rest: []byte(text)[1:]}
	got := r.program()
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.rest))
	}
	if r.err == nil {
		r.err = got.Check()
	}
	if r.err != nil {
		return fmt.Errorf("cannot read program: %w", r.err)
	}
	*p = got
	return nil
}

// The least bytes of an op and of a reference.
const leastOp, leastRef = 9, 4

// wireReader takes a wire form apart. After the first error it yields only zeros.
type wireReader struct {
	rest []byte // a copy, of which the program's data are parts
	text string // the same bytes, of which the program's strings are parts
	refs []Ref  // all references so far
	free []Memory
	err  error
}

// memories is how many are made at once.
const memories = 64

func (r *wireReader) memory() *Memory {
	if len(r.free) == 0 {
		r.free = make([]Memory, memories)
	}
	m := &r.free[0]
	r.free = r.free[1:]
	return m
}

func (r *wireReader) program() (p Program) {
	if n := r.count(MaxFiles, 1); n > 0 {
		p.Files = make([]string, n)
	}
	for i := range p.Files {
		p.Files[i] = r.string()
	}
	p.Slots = r.int(MaxSlots)
	p.Clone = r.uint()
	p.Cgroup = r.string()
	p.PidNS = r.string()
	n := r.count(MaxOps, leastOp)
	r.refs = make([]Ref, 0, r.count(MaxSize/refSize, leastRef))
	if r.err == nil && n > 0 {
		p.Ops = make([]Op, n)
	}
	for i := range p.Ops {
		r.op(&p.Ops[i])
	}
	return p
}

func (r *wireReader) op(op *Op) {
	op.Step, op.Path = r.string(), r.string()
	op.Nr = uint32(r.int(1<<32 - 1))
	op.Out = Slot(r.int(MaxSlots))
	op.Accept = Errnos{r.uint(), r.uint()}
	op.Skip, op.Else = r.int(MaxOps), r.int(MaxOps)
	for n := range r.int(len(op.Args)) {
		r.arg(&op.Args[n])
	}
}

func (r *wireReader) arg(arg *Arg) {
	arg.Kind = ArgKind(r.int(int(ArgSlot)))
	if arg.Kind != ArgData {
		n, size := binary.Varint(r.rest)
		r.skip(size)
		arg.Int = uint64(n)
		return
	}
	data := r.bytes()
	first := len(r.refs)
	for range r.count(MaxSize/refSize, leastRef) {
		r.refs = append(r.refs, Ref{At: r.int(MaxSize), To: r.int(MaxSize), Slot: Slot(r.int(MaxSlots)), Data: r.bytes()})
	}
	if len(data) == 0 && len(r.refs) == first {
		return
	}
	arg.Memory = r.memory()
	arg.Memory.Data = data
	if len(r.refs) > first {
		arg.Memory.Refs = r.refs[first:len(r.refs):len(r.refs)]
	}
}

// skip steps over n bytes; n < 1 is binary's word for a bad varint.
func (r *wireReader) skip(n int) {
	if r.err == nil && (n < 1 || n > len(r.rest)) {
		r.err = errTruncated
	}
	if r.err != nil {
		r.rest, r.text = nil, ""
		return
	}
	r.rest, r.text = r.rest[n:], r.text[n:]
}

func (r *wireReader) uint() uint64 {
	n, size := binary.Uvarint(r.rest)
	r.skip(size)
	if r.err != nil {
		return 0
	}
	return n
}

// int reads a number of at most limit.
func (r *wireReader) int(limit int) int {
	n := r.uint()
	if r.err == nil && n > uint64(limit) {
		r.err = fmt.Errorf("%d where at most %d is possible", n, limit)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// count reads the number of things that follow, each of at least size bytes.
func (r *wireReader) count(limit, size int) int {
	n := r.int(limit)
	if r.err == nil && n > len(r.rest)/size {
		r.err = errTruncated
	}
	if r.err != nil {
		return 0
	}
	return n
}

// bytes reads length-prefixed bytes; none is nil.
func (r *wireReader) bytes() []byte {
	n := r.count(MaxSize, 1)
	if n == 0 {
		return nil
	}
	b := r.rest[:n:n]
	r.skip(n)
	return b
}

func (r *wireReader) string() string {
	n := r.count(MaxSize, 1)
	if n == 0 {
		return ""
	}
	s := r.text[:n]
	r.skip(n)
	return s
}
