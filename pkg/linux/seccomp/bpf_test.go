package seccomp

import (
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// namesOf are the calls of every architecture by number.
var namesOf = sync.OnceValue(func() map[string]map[uint32]string {
	all := map[string]map[uint32]string{}
	for _, arch := range Arches {
		all[arch.Name] = map[uint32]string{}
		for name, nr := range arch.Calls {
			all[arch.Name][nr] = name
		}
	}
	return all
})

// nameOf is the call of that number, "" for none.
func nameOf(arch Arch, nr uint32) string { return namesOf()[arch.Name][nr] }

// oracle knows the verdict of a policy on a call, read straight from its rules.
type oracle struct {
	Policy
	archs  []Arch
	newest map[string]uint32 // the highest number of a call that a rule names
	rules  map[string][]Rule
}

func newOracle(p Policy, archs []Arch) oracle {
	o := oracle{p, archs, map[string]uint32{}, map[string][]Rule{}}
	for _, rule := range p.Rules {
		for _, call := range rule.Calls {
			o.rules[call] = append(o.rules[call], rule)
			for _, arch := range Arches {
				if nr := arch.Calls[call]; p.Newest && (nr < 0xf0000 || arch.Name != "arm") {
					o.newest[arch.Name] = max(o.newest[arch.Name], nr)
				}
			}
		}
	}
	return o
}

func (o oracle) verdict(c Call) Action {
	has := func(name string) bool {
		return slices.ContainsFunc(o.archs, func(a Arch) bool { return a.Name == name })
	}
	i := slices.IndexFunc(o.archs, func(a Arch) bool { return a.Audit == c.Arch })
	if i < 0 {
		return o.Foreign
	}
	arch := o.archs[i]
	if c.Arch == unix.AUDIT_ARCH_X86_64 {
		arch, _ = archOf("SCMP_ARCH_X86_64")
		switch {
		case c.Nr >= 0x40000000 && has("x32"):
			arch, _ = archOf("SCMP_ARCH_X32")
		case c.Nr == ^uint32(0):
			return o.Unknown
		case c.Nr >= 0x40000000 && (c.Nr&0x40000000 != 0 || o.newest["amd64"] == 0):
			return o.X32
		case !has("amd64"):
			return o.Foreign
		}
	}
	name := nameOf(arch, c.Nr)
	if newest := o.newest[arch.Name]; newest > 0 && c.Nr > newest && (name == "" || arch.Name != "arm" || c.Nr < 0xf0000) {
		return Errno(unix.ENOSYS)
	}
	if name == "" {
		return o.Unknown
	}
	for _, rule := range o.rules[name] {
		if rule.holds(arch, c.Args) {
			return rule.Then
		}
	}
	if arch.Name == "386" && (name == "socketcall" || name == "ipc") {
		return o.muxed(name, c.Args[0])
	}
	return o.Denied
}

// muxed is what the rules on the calls behind socketcall and ipc say.
func (o oracle) muxed(through string, number uint64) Action {
	if number = uint64(uint32(number)); through == "ipc" {
		number &= 0xffff
	}
	for _, rule := range o.Rules {
		for _, call := range rule.Calls {
			m, ok := mux386[call]
			if ok && m.through == through && m.number == number && (len(rule.If) == 0 || int32(rule.Then&0xffff0000) < int32(o.Denied&0xffff0000)) {
				return rule.Then
			}
		}
	}
	return o.Denied
}

func (r Rule) holds(arch Arch, args [6]uint64) bool {
	return !slices.ContainsFunc(r.If, func(c Condition) bool { return !c.holds(args[c.Arg], arch.Narrow) })
}

// holds tells whether the condition holds for an argument.
func (c Condition) holds(arg uint64, narrow bool) bool {
	value, mask := c.Value, c.Mask
	if narrow {
		arg, value, mask = uint64(uint32(arg)), uint64(uint32(value)), uint64(uint32(mask))
	}
	return []bool{
		Equal: arg&mask == value, NotEqual: arg != value, Less: arg < value, LessOrEqual: arg <= value,
		GreaterOrEqual: arg >= value, Greater: arg > value,
	}[c.Op]
}

// loadable is what the kernel asks of a filter before it takes it: seccomp_check_filter and bpf_check_classic.
func (f Filter) loadable() error {
	if len(f) == 0 || len(f) > unix.BPF_MAXINSNS {
		return fmt.Errorf("%d instructions", len(f))
	}
	for i, in := range f {
		switch left := len(f) - 1 - i; {
		case in.Code == load && in.K%4 == 0 && in.K < offsetArgs+48, in.Code == and, in.Code == ret:
		case in.Code == jump && int(in.K) < left:
		case slices.Contains([]uint16{equal, atLeast, above}, in.Code) && int(in.Jt) < left && int(in.Jf) < left:
		default:
			return fmt.Errorf("instruction %d of %d: %+v", i, len(f), in)
		}
	}
	if f[len(f)-1].Code != ret {
		return fmt.Errorf("no return at the end")
	}
	return nil
}
