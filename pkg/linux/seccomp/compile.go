package seccomp

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data, see seccomp(2).
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
	above   = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K

	maxShortJump = 255
)

// Compile turns a policy into a filter for some architectures, the first of which is reached fastest. A filter is at most
// 4096 instructions (BPF_MAXINSNS), about 1,000 conditions. Errors are fs.ErrInvalid: a name that no architecture has, a
// condition that can never hold, a filter that is too long; or errors.ErrUnsupported: an architecture without a table.
func Compile(p Policy, archs ...Arch) (Filter, error) {
	if len(archs) == 0 || slices.ContainsFunc(archs, func(a Arch) bool { return a.Calls == nil }) {
		return nil, fmt.Errorf("cannot make a seccomp filter: no system call numbers of this architecture: %w", errors.ErrUnsupported)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("cannot make a seccomp filter: %w", err)
	}
	f := Filter{{Code: load, K: offsetArch}}
	all := groups(archs)
	for i, group := range all {
		code := append(Filter{{Code: load, K: offsetNr}}, search(p.spans(group))...)
		other := unix.SockFilter{Code: jump, K: uint32(len(code))}
		if i == len(all)-1 {
			other = unix.SockFilter{Code: ret, K: uint32(p.Foreign)}
		}
		f = append(f, unix.SockFilter{Code: equal, K: group[0].Audit, Jt: 1}, other)
		f = append(f, code...)
	}
	if len(f) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("cannot make a seccomp filter: %d instructions, the kernel takes %d: %w", len(f), unix.BPF_MAXINSNS, fs.ErrInvalid)
	}
	return f, nil
}

func (p Policy) check() error {
	for _, rule := range p.Rules {
		for _, call := range rule.Calls {
			if !known(call) {
				return fmt.Errorf("no system call %q: %w", call, fs.ErrInvalid)
			}
		}
		if len(rule.If) > maxConditions {
			return fmt.Errorf("%d conditions on %v, more than %d: %w", len(rule.If), rule.Calls, maxConditions, fs.ErrInvalid)
		}
		for _, c := range rule.If {
			if err := c.check(); err != nil {
				return fmt.Errorf("rule on %v: %w", rule.Calls, err)
			}
		}
	}
	return nil
}

// groups puts the architectures together that the kernel reports as one, each once.
func groups(archs []Arch) (all [][]Arch) {
	for _, arch := range archs {
		i := slices.IndexFunc(all, func(g []Arch) bool { return g[0].Audit == arch.Audit })
		switch {
		case i < 0:
			all = append(all, []Arch{arch})
		case !slices.ContainsFunc(all[i], func(a Arch) bool { return a.Name == arch.Name }):
			all[i] = append(all[i], arch)
		}
	}
	return all
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
