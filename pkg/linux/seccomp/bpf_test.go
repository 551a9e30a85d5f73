package seccomp

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// call is struct seccomp_data.
type call struct {
	nr, arch uint32
	ip       uint64
	args     [6]uint64
}

// run interprets a filter as the kernel does: only the instructions seccomp_check_filter admits that the compiler
// uses; anything else, a jump out of the program or a missing return is an error.
func run(f Filter, c call) (Action, error) {
	data, err := binary.Append(nil, binary.LittleEndian, c.nr)
	if err == nil {
		data, err = binary.Append(data, binary.LittleEndian, struct {
			Arch uint32
			IP   uint64
			Args [6]uint64
		}{c.arch, c.ip, c.args})
	}
	if err != nil {
		return 0, err
	}
	var a uint32
	for pc := 0; pc < len(f); pc++ {
		switch in := f[pc]; in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			if in.K%4 != 0 || int(in.K)+4 > len(data) {
				return 0, fmt.Errorf("instruction %d loads from %d", pc, in.K)
			}
			a = binary.LittleEndian.Uint32(data[in.K:])
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			pc += branch(in, a == in.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			pc += branch(in, a >= in.K)
		case unix.BPF_RET | unix.BPF_K:
			return Action(in.K), nil
		default:
			return 0, fmt.Errorf("instruction %d has code %#x", pc, in.Code)
		}
	}
	return 0, fmt.Errorf("ran out of instructions")
}

func branch(in unix.SockFilter, taken bool) int {
	if taken {
		return int(in.Jt)
	}
	return int(in.Jf)
}

// nameOf is the call of that number, "" for none.
func nameOf(arch Arch, nr uint32) string {
	for name, n := range arch.Calls {
		if n == nr {
			return name
		}
	}
	return ""
}

// want is the verdict of a policy on a call of its own architecture, read straight from its rules; "" is an unknown call.
func want(p Policy, name string, args [6]uint64) Action {
	if name == "" {
		return p.Unknown
	}
	for _, rule := range p.Rules {
		if slices.Contains(rule.Calls, name) && rule.holds(args) {
			return rule.Then
		}
	}
	return p.Denied
}

func (r Rule) holds(args [6]uint64) bool {
	for _, c := range r.If {
		if args[c.Arg]&c.Mask != c.Value {
			return false
		}
	}
	return true
}
