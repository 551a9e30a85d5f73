package seccomp

import (
	"maps"
	"slices"
	"sort"

	"golang.org/x/sys/unix"
)

// span is a run of numbers, from first to the next span's, whose verdict is found by the same code.
type span struct {
	first uint32
	code  Filter
}

// spanList covers all numbers from 0 to 1<<32-1 once its first span begins at 0. Spans are added in order.
type spanList []span

func (l *spanList) add(first uint32, code Filter) {
	if n := len(*l); n > 0 {
		switch last := &(*l)[n-1]; {
		case last.first == first:
			*l = (*l)[:n-1]
			l.add(first, code)
			return
		case slices.Equal(last.code, code):
			return
		}
	}
	*l = append(*l, span{first, code})
}

// spans cuts all numbers into spans, for architectures that the kernel reports as one: amd64 and x32 have half of the
// positive numbers each.
func (p Policy) spans(group []Arch) (all spanList) {
	all.add(0, returns(p.Foreign))
	sort.Slice(group, func(i, j int) bool { return group[i].base() < group[j].base() })
	for _, arch := range group {
		p.table(arch).add(&all)
	}
	if group[0].Audit == unix.AUDIT_ARCH_X86_64 && group[len(group)-1].base() == 0 {
		all.add(x32Bit, returns(p.X32))
		if t := p.table(group[0]); t.newest > 0 { // these lack x32's bit, so they are amd64's
			all.add(1<<31, returns(t.newer))
			all.add(1<<31|x32Bit, returns(p.X32))
		}
		all.add(^uint32(0), returns(p.Unknown))
	}
	return all
}

// base is where an architecture's numbers begin.
func (a Arch) base() uint32 {
	if a.Name == "x32" {
		return x32Bit
	}
	return 0
}

// table is a policy for one architecture.
type table struct {
	Policy
	arch   Arch
	rules  map[string][]Rule // by call, in the order of their trial
	newest uint32            // the highest number of a rule's call; 0 when Policy.Newest does not ask for it
	newer  Action            // the verdict on those above
}

func (p Policy) table(arch Arch) table {
	t := table{Policy: p, arch: arch, rules: make(map[string][]Rule, len(arch.Calls)), newer: Errno(unix.ENOSYS)}
	through := map[string][]Rule{}
	for _, rule := range p.Rules {
		for _, call := range rule.Calls {
			if nr, ok := arch.Calls[call]; ok {
				t.rules[call] = append(t.rules[call], rule)
				if p.Newest && nr < arch.base()+private {
					t.newest = max(t.newest, nr)
				}
			}
			if m, ok := arch.mux[call]; ok {
				if r, ok := m.rule(rule, p.Denied); ok {
					through[m.through] = append(through[m.through], r)
				}
			}
		}
	}
	for call, rules := range through { // what is said of socketcall itself comes first
		t.rules[call] = append(t.rules[call], rules...)
	}
	return t
}

// add adds the spans of the architecture's numbers.
func (t table) add(all *spanList) {
	names := make(map[uint32]string, len(t.arch.Calls))
	for name, nr := range t.arch.Calls {
		names[nr] = name
	}
	all.add(t.arch.base(), returns(t.gap(t.arch.base())))
	for _, nr := range slices.Sorted(maps.Keys(names)) {
		if t.above(nr) {
			all.add(nr, returns(t.newer))
		} else {
			all.add(nr, t.verdict(names[nr]))
		}
		if _, ok := names[nr+1]; !ok {
			all.add(nr+1, returns(t.gap(nr+1)))
		}
	}
}

// above tells numbers that are newer than the rules.
func (t table) above(nr uint32) bool {
	return t.newest > 0 && nr > t.newest && (nr < private || t.arch.Name != "arm")
}

// gap is the verdict on a number that is nobody's.
func (t table) gap(nr uint32) Action {
	if t.newest > 0 && nr > t.newest {
		return t.newer
	}
	return t.Unknown
}

// verdict is the code that judges one call by its arguments.
func (t table) verdict(call string) (code Filter) {
	for _, rule := range t.rules[call] {
		if rule.always(t.arch.Narrow) {
			return append(code, returns(rule.Then)...)
		}
		code = append(code, rule.code(t.arch.Narrow)...)
	}
	return append(code, returns(t.Denied)...)
}

func returns(a Action) Filter { return Filter{{Code: ret, K: uint32(a)}} }
