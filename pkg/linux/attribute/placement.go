package attribute

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Mask is a set of processors or memory nodes, as the kernel reads it: bit n of 64-bit words. nil is none said.
type Mask []byte

// maxProcessors is the most a kernel can be built for.
const maxProcessors = 8192

// NewMask reads a list such as 0-3,8; "" is nil.
func NewMask(list string) (Mask, error) {
	if list == "" {
		return nil, nil
	}
	bad := func(part string) error {
		return fmt.Errorf("cannot use %q of the list %q: want numbers below %d, or ranges of them: %w", part, list, maxProcessors, fs.ErrInvalid)
	}
	words := make([]uint64, maxProcessors/64)
	last := 0
	for part := range strings.SplitSeq(list, ",") {
		first, end, isRange := strings.Cut(part, "-")
		if !isRange {
			end = first
		}
		from, errFrom := strconv.ParseUint(first, 10, 16)
		to, errTo := strconv.ParseUint(end, 10, 16)
		if errFrom != nil || errTo != nil || from > to || to >= maxProcessors {
			return nil, bad(part)
		}
		for n := from; n <= to; n++ {
			words[n/64] |= 1 << (n % 64)
		}
		last = max(last, int(to/64))
	}
	var mask Mask
	for _, word := range words[:last+1] {
		mask = binary.NativeEndian.AppendUint64(mask, word)
	}
	return mask, nil
}

// everywhere are all processors; the kernel takes those of the cpuset.
func everywhere() Mask {
	mask := make(Mask, maxProcessors/8)
	for i := range mask {
		mask[i] = 0xff
	}
	return mask
}

// setAffinity resets, or sets what is said; that none of it is in the cpuset is EINVAL.
func setAffinity(p *process.Program, plan Plan) {
	if plan.Affinity.final == nil {
		affinity(p, "reset affinity", "", everywhere())
		return
	}
	affinity(p, "run on processors", plan.Affinity.shown, plan.Affinity.final)
}

func affinity(p *process.Program, step, shown string, mask Mask) *process.Op {
	return p.Call(step, shown, unix.SYS_SCHED_SETAFFINITY, process.Int(0), process.Int(len(mask)), process.Data(mask))
}

// Affinity is where a start and its command run; the zero value is where the keeper runs, and everywhere.
type Affinity struct {
	initial, final Mask
	shown          string
}

// newAffinity reads what a manifest says.
func newAffinity(said spec.CPUAffinity) (a Affinity, err error) {
	if a.initial, err = NewMask(said.Initial); err != nil {
		return a, err
	}
	a.final, err = NewMask(said.Final)
	a.shown = said.Final
	return a, err
}

// First adds the op of a start that must not wait for the others: where it runs. A cpuset that the child was made in may have
// none of these processors (EINVAL): then it runs there.
func First(p *process.Program, plan Plan) {
	if plan.Affinity.initial != nil {
		affinity(p, "begin on other processors", "", plan.Affinity.initial).Accept = process.Accept(unix.EINVAL)
	}
}

// MemoryPolicy is what set_mempolicy(2) sets; the zero value is MPOL_DEFAULT.
type MemoryPolicy struct {
	Mode  int  // MPOL_* with MPOL_F_*
	Nodes Mask // of the machine's NUMA nodes
	shown string
}

// The numbers of linux/mempolicy.h.
var (
	memoryModes = map[spec.MemoryMode]int{
		"": unix.MPOL_DEFAULT, spec.MemoryDefault: unix.MPOL_DEFAULT, spec.MemoryPreferred: unix.MPOL_PREFERRED, spec.MemoryBind: unix.MPOL_BIND,
		spec.MemoryInterleave: unix.MPOL_INTERLEAVE, spec.MemoryLocal: unix.MPOL_LOCAL, spec.MemoryPreferredMany: unix.MPOL_PREFERRED_MANY,
		spec.MemoryWeightedInterleave: unix.MPOL_WEIGHTED_INTERLEAVE,
	}
	memoryFlags = map[string]int{
		"NUMA_BALANCING": unix.MPOL_F_NUMA_BALANCING, "RELATIVE_NODES": unix.MPOL_F_RELATIVE_NODES, "STATIC_NODES": unix.MPOL_F_STATIC_NODES,
	}
)

// newMemoryPolicy reads what a manifest says.
func newMemoryPolicy(said spec.MemoryPolicy) (m MemoryPolicy, err error) {
	if err := said.Check(); err != nil {
		return m, fmt.Errorf("cannot use memoryPolicy: %w: %w", err, fs.ErrInvalid)
	}
	mode, ok := memoryModes[said.Mode]
	if !ok {
		return m, fmt.Errorf("cannot use memoryPolicy mode %q: %w", said.Mode, fs.ErrInvalid)
	}
	for _, word := range said.Flags {
		flag, ok := memoryFlags[word]
		if !ok {
			return m, fmt.Errorf("cannot use memoryPolicy flag %q: %w", word, fs.ErrInvalid)
		}
		mode |= flag
	}
	m = MemoryPolicy{Mode: mode, shown: strings.TrimSpace(string(said.Mode) + " " + said.Nodes)}
	m.Nodes, err = NewMask(said.Nodes)
	return m, err
}

// setMemoryPolicy resets, or sets what is said. The kernel reads one bit less than it is told; see set_mempolicy(2), "VERSIONS".
func setMemoryPolicy(p *process.Program, plan Plan) {
	m := plan.MemoryPolicy
	if m.Mode == unix.MPOL_DEFAULT {
		p.Call("reset memory policy", "", unix.SYS_SET_MEMPOLICY, process.Int(unix.MPOL_DEFAULT), process.Int(0), process.Int(0)).
			Accept = process.Accept(unix.ENOSYS)
		return
	}
	bits := 0
	if m.Nodes != nil {
		bits = 8*len(m.Nodes) + 1
	}
	p.Call("set memory policy", m.shown, unix.SYS_SET_MEMPOLICY, process.Int(m.Mode), process.Data(m.Nodes), process.Int(bits))
}

// newPersonality is what personality(2) sets.
func newPersonality(said spec.Personality) (persona uint64, err error) {
	switch said.Domain {
	case "", spec.PersonalityLinux:
	case spec.PersonalityLinux32:
		persona = 8 // PER_LINUX32
	default:
		return 0, fmt.Errorf("cannot use personality domain %q: %w", said.Domain, fs.ErrInvalid)
	}
	for _, word := range said.Flags {
		flag, ok := spec.PersonalityFlags[word]
		if !ok {
			return 0, fmt.Errorf("cannot use personality flag %q: %w", word, fs.ErrInvalid)
		}
		persona |= flag
	}
	return persona, nil
}

func setPersonality(p *process.Program, plan Plan) {
	step := "reset personality"
	if plan.Personality != 0 {
		step = "set personality"
	}
	p.Call(step, "", unix.SYS_PERSONALITY, process.Int(plan.Personality))
}

// Set has a thread run on these processors.
func (m Mask) Set(tid int) error {
	_, _, errno := unix.Syscall(unix.SYS_SCHED_SETAFFINITY, uintptr(tid), uintptr(len(m)), uintptr(unsafe.Pointer(&m[0])))
	if errno != 0 {
		return errno
	}
	return nil
}
