package seccomp

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data, see seccomp(2). Both architectures are little-endian: an argument's low half is first.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

// Instructions of classic BPF, see linux/filter.h.
const (
	load    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	and     = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	ret     = unix.BPF_RET | unix.BPF_K
	jump    = unix.BPF_JMP | unix.BPF_JA
	equal   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	atLeast = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K

	maxShortJump = 255
)

// Compile turns a policy into a filter for one architecture. A filter is at most 4096 instructions (BPF_MAXINSNS), about
// 1,000 conditions. Errors are fs.ErrInvalid: a name that no architecture has, a condition that can never hold, a
// filter that is too long; or errors.ErrUnsupported: an architecture without a table.
func Compile(p Policy, arch Arch) (Filter, error) {
	if arch.Calls == nil {
		return nil, fmt.Errorf("cannot make a seccomp filter: no system call numbers of this architecture: %w", errors.ErrUnsupported)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("cannot make a seccomp filter: %w", err)
	}
	f := Filter{
		{Code: load, K: offsetArch},
		{Code: equal, K: arch.Audit, Jt: 1},
		{Code: ret, K: uint32(p.Foreign)},
		{Code: load, K: offsetNr},
	}
	f = append(f, search(p.spans(arch))...)
	if len(f) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("cannot make a seccomp filter: %d instructions, the kernel takes %d: %w", len(f), unix.BPF_MAXINSNS, fs.ErrInvalid)
	}
	return f, nil
}

func (p Policy) check() error {
	for _, rule := range p.Rules {
		for _, call := range rule.Calls {
			if !slices.ContainsFunc(Arches, func(a Arch) bool { _, ok := a.Calls[call]; return ok }) {
				return fmt.Errorf("no system call %q: %w", call, fs.ErrInvalid)
			}
		}
		for _, c := range rule.If {
			if c.Arg < 0 || c.Arg > 5 || c.Value&^c.Mask != 0 {
				return fmt.Errorf("condition %+v on %v can never hold: %w", c, rule.Calls, fs.ErrInvalid)
			}
		}
	}
	return nil
}

// span is a run of numbers, from first to the next span's, whose verdict is found by the same code.
type span struct {
	first uint32
	code  Filter
}

// spans cuts all numbers from 0 to 1<<32-1 into spans.
func (p Policy) spans(arch Arch) []span {
	names := make(map[uint32]string, len(arch.Calls))
	for name, nr := range arch.Calls {
		names[nr] = name
	}
	unknown := Filter{{Code: ret, K: uint32(p.Unknown)}}
	all := []span{{0, unknown}}
	add := func(first uint32, code Filter) {
		switch last := &all[len(all)-1]; {
		case slices.Equal(last.code, code):
		case last.first == first:
			last.code = code
		default:
			all = append(all, span{first, code})
		}
	}
	for _, nr := range slices.Sorted(maps.Keys(names)) {
		add(nr, p.verdict(names[nr]))
		if _, ok := names[nr+1]; !ok {
			add(nr+1, unknown)
		}
	}
	return all
}

// verdict is the code that judges one call by its arguments.
func (p Policy) verdict(call string) (code Filter) {
	for _, rule := range p.Rules {
		if !slices.Contains(rule.Calls, call) {
			continue
		}
		code = append(code, rule.code()...)
		if len(rule.If) == 0 {
			return code
		}
	}
	return append(code, unix.SockFilter{Code: ret, K: uint32(p.Denied)})
}

// code returns the rule's verdict if its conditions hold, else goes on behind its last instruction.
func (r Rule) code() Filter {
	var code Filter
	for _, c := range r.If {
		for half := range 2 {
			mask, value := uint32(c.Mask>>(32*half)), uint32(c.Value>>(32*half))
			if mask == 0 {
				continue
			}
			code = append(code, unix.SockFilter{Code: load, K: uint32(offsetArgs + 8*c.Arg + 4*half)})
			if mask != ^uint32(0) {
				code = append(code, unix.SockFilter{Code: and, K: mask})
			}
			code = append(code, unix.SockFilter{Code: equal, K: value})
		}
	}
	code = append(code, unix.SockFilter{Code: ret, K: uint32(r.Then)})
	for i := range code {
		if code[i].Code == equal {
			code[i].Jf = uint8(len(code) - 1 - i)
		}
	}
	return code
}

// search is a binary search for the span of the number in the accumulator.
func search(spans []span) Filter {
	if len(spans) == 1 {
		return spans[0].code
	}
	mid := len(spans) / 2
	below, above := search(spans[:mid]), search(spans[mid:])
	code := Filter{{Code: atLeast, K: spans[mid].first, Jt: uint8(len(below))}}
	if len(below) > maxShortJump {
		code = Filter{{Code: atLeast, K: spans[mid].first, Jf: 1}, {Code: jump, K: uint32(len(below))}}
	}
	return slices.Concat(code, below, above)
}
