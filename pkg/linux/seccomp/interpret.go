package seccomp

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Call is a system call as a filter sees it: struct seccomp_data.
type Call struct {
	Nr   uint32 // the number, with x32Bit for x32
	Arch uint32 // AUDIT_ARCH_*
	IP   uint64 // of the instruction that made it
	Args [6]uint64
}

// word is 32 bits of a call at an offset, of a little-endian machine.
func (c Call) word(at uint32) (uint32, bool) {
	switch {
	case at%4 != 0 || at >= offsetArgs+48:
		return 0, false
	case at == offsetNr:
		return c.Nr, true
	case at == offsetArch:
		return c.Arch, true
	case at < offsetArgs:
		return uint32(c.IP >> (8 * (at - 8))), true
	}
	return uint32(c.Args[(at-offsetArgs)/8] >> (8 * (at % 8))), true
}

// Verdict runs the filter on a call as the kernel does. It knows the instructions that filters of this package and of
// libseccomp are made of; for others, and for what the kernel would not load, it is an error.
func (f Filter) Verdict(c Call) (Action, error) {
	var a uint32
	for pc := 0; pc < len(f); pc++ {
		in, ok := f[pc], true
		switch in.Code {
		case load:
			a, ok = c.word(in.K)
		case and:
			a &= in.K
		case jump:
			pc += int(in.K)
		case ret:
			return Action(in.K), nil
		default:
			var taken bool
			if taken, ok = branch(in, a); taken {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		}
		if !ok {
			return 0, fmt.Errorf("cannot run instruction %d of a seccomp filter: %+v", pc, in)
		}
	}
	return 0, fmt.Errorf("a seccomp filter ends without a verdict on %+v", c)
}

// branch tells whether a conditional jump is taken; false for an instruction that is none.
func branch(in unix.SockFilter, a uint32) (taken, ok bool) {
	switch in.Code {
	case equal:
		return a == in.K, true
	case atLeast:
		return a >= in.K, true
	case above:
		return a > in.K, true
	case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
		return a&in.K != 0, true
	}
	return false, false
}
