package seccomp

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// natives are the machines the default policy is for.
var natives = slices.DeleteFunc(slices.Clone(Arches), func(a Arch) bool { return a.Name != "amd64" && a.Name != "arm64" })

// families are the lists of architectures that a node can have programs of.
func families() (all [][]Arch) {
	arch := func(words ...spec.SeccompArch) (list []Arch) {
		for _, w := range words {
			a, _ := archOf(w)
			list = append(list, a)
		}
		return list
	}
	return [][]Arch{
		arch(spec.SeccompX8664), arch(spec.SeccompAARCH64), arch(spec.SeccompX8664, spec.SeccompX86), arch(spec.SeccompX32),
		arch(spec.SeccompX8664, spec.SeccompX86, spec.SeccompX32), arch(spec.SeccompX86), arch(spec.SeccompAARCH64, spec.SeccompARM),
		arch(spec.SeccompX86, spec.SeccompX32, spec.SeccompX8664, spec.SeccompX86),
	}
}

// argumentSets are arguments on both sides of every condition that a policy puts on a call, in each half of the word.
func argumentSets(p Policy, name string) [][6]uint64 {
	sets := [][6]uint64{{}, {^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}}
	for _, rule := range p.Rules {
		if !slices.Contains(rule.Calls, name) {
			continue
		}
		var all [6]uint64
		for _, c := range rule.If {
			all[c.Arg] |= c.Value
			for _, v := range []uint64{c.Value, c.Value - 1, c.Value + 1, c.Value + 1<<32, c.Value - 1<<32, c.Value ^ 1, c.Value | ^c.Mask, c.Value ^ c.Mask, c.Mask & -c.Mask} {
				args := all
				args[c.Arg] = v
				sets = append(sets, args)
			}
		}
		sets = append(sets, all)
	}
	if name == "socketcall" || name == "ipc" {
		for n := range uint64(26) {
			sets = append(sets, [6]uint64{n}, [6]uint64{n | 1<<16}, [6]uint64{n | 1<<32})
		}
	}
	return sets
}

// interesting are the numbers around everything a table has, in each half and quarter of them.
func interesting() []uint32 {
	numbers := []uint32{0xeffff, 0xf0000, 0xf0001, 0xf0005, 0xf0007, 1<<31 - 1, ^uint32(0), ^uint32(0) - 1}
	for nr := range uint32(601) {
		numbers = append(numbers, nr, nr|1<<30, nr|1<<31, nr|3<<30)
	}
	return numbers
}

// verify compares a filter with the meaning of its policy, for every number of every architecture.
func verify(t *testing.T, p Policy, archs []Arch, f Filter) {
	t.Helper()
	if err := f.loadable(); err != nil {
		t.Fatal(err)
	}
	o := newOracle(p, archs)
	audits := map[uint32]bool{0: true, unix.AUDIT_ARCH_PPC64LE: true}
	for _, a := range Arches {
		audits[a.Audit] = true
	}
	for audit := range audits {
		for _, nr := range interesting() {
			sets := [][6]uint64{{}}
			for _, a := range archs {
				if name := nameOf(a, nr); a.Audit == audit && name != "" {
					sets = argumentSets(p, name)
				}
			}
			for _, args := range sets {
				c := Call{Nr: nr, Arch: audit, Args: args}
				got, err := f.Verdict(c)
				if want := o.verdict(c); err != nil || got != want {
					t.Fatalf("%+v: got %#x, %v, want %#x", c, got, err, want)
				}
			}
		}
	}
}

func TestDefaultFilterGivesTheVerdictOfThePolicy(t *testing.T) {
	for _, caps := range []capability.Set{0, capability.Default, capability.UpTo(40)} {
		p := Default(caps)
		for _, arch := range natives {
			f, err := Compile(p, arch)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s with capabilities %v: %d instructions", arch.Name, caps, len(f))
			verify(t, p, []Arch{arch}, f)
		}
	}
}

func TestX32AndForeignCalls(t *testing.T) {
	p, amd64 := Default(capability.Default), Arches[0]
	f, err := Compile(p, amd64)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		Call
		want Action
	}{
		"x32 write":  {Call{Nr: 0x40000001, Arch: unix.AUDIT_ARCH_X86_64}, Errno(unix.ENOSYS)},
		"i386 exit":  {Call{Nr: 1, Arch: unix.AUDIT_ARCH_I386}, Kill},
		"write":      {Call{Nr: 1, Arch: unix.AUDIT_ARCH_X86_64}, Allow},
		"call of -1": {Call{Nr: ^uint32(0), Arch: unix.AUDIT_ARCH_X86_64}, Errno(unix.ENOSYS)},
	} {
		if got, err := f.Verdict(c.Call); err != nil || got != c.want {
			t.Errorf("%s: got %#x, %v, want %#x", what, got, err, c.want)
		}
	}
}

// A number is one call's, and no two architectures that the kernel reports as one share a number.
func TestTables(t *testing.T) {
	type number struct{ audit, nr uint32 }
	calls := map[number]string{}
	for _, arch := range Arches {
		if len(arch.Calls) < 300 {
			t.Errorf("%s has %d calls", arch.Name, len(arch.Calls))
		}
		for name, nr := range arch.Calls {
			if other, doubled := calls[number{arch.Audit, nr}]; doubled {
				t.Errorf("%s call %d is both %s and %s", arch.Name, nr, name, other)
			}
			calls[number{arch.Audit, nr}] = name
		}
	}
}

// A policy of many conditions makes the halves of the search longer than a short jump reaches.
func TestLongFilters(t *testing.T) {
	for _, arch := range Arches {
		p := Policy{Denied: Errno(unix.EPERM), Unknown: Errno(unix.ENOSYS), Foreign: Kill}
		for call, nr := range arch.Calls {
			p.Rules = append(p.Rules, Rule{[]string{call}, []Condition{{int(nr % 6), Equal, 0xffff_0000_ffff, uint64(nr & 0xffff)}}, Errno(unix.Errno(nr))})
		}
		f, err := Compile(p, arch)
		if err != nil {
			t.Fatal(err)
		}
		verify(t, p, []Arch{arch}, f)
	}
}

func TestCompileRefuses(t *testing.T) {
	huge := Policy{}
	for n := range uint64(1000) {
		huge.Rules = append(huge.Rules, Rule{[]string{"read", "write", "open", "close", "ioctl", "mmap"}, []Condition{{0, Equal, ^uint64(0), n}, {1, Equal, ^uint64(0), n}}, Allow})
	}
	for what, p := range map[string]Policy{
		"a name nobody has":          {Rules: []Rule{{Calls: []string{"openat3"}}}},
		"an argument there is not":   {Rules: []Rule{{[]string{"read"}, []Condition{{Arg: 6}}, Allow}}},
		"a value outside its mask":   {Rules: []Rule{{[]string{"read"}, []Condition{{0, Equal, 1, 2}}, Allow}}},
		"more than the kernel takes": huge,
		"an op there is not":         {Rules: []Rule{{[]string{"read"}, []Condition{{Op: Greater + 1}}, Allow}}},
		"a mask that is not heeded":  {Rules: []Rule{{[]string{"read"}, []Condition{{Op: Less, Mask: 1}}, Allow}}},
		"conditions without end":     {Rules: []Rule{{[]string{"read"}, make([]Condition, 33), Allow}}},
	} {
		if _, err := Compile(p, Arches[0]); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: got %v, want fs.ErrInvalid", what, err)
		}
	}
	if _, err := Compile(Policy{}, Arch{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("no table: got %v, want errors.ErrUnsupported", err)
	}
}

// randomPolicy makes a policy from a seed, with overlapping rules and conditions.
func randomPolicy(r *rand.Rand) Policy {
	names := slices.Collect(maps.Keys(callsAMD64))
	names = slices.AppendSeq(names, maps.Keys(calls386))
	names = slices.AppendSeq(names, maps.Keys(callsARM))
	names = append(names, "socketcall", "ipc", "recv", "accept", "set_tls")
	slices.Sort(names)
	actions := []Action{Allow, Kill, KillThread, Errno(13), Errno(38), Errno(1), Log, Trap, Trace(7), Notify}
	p := Policy{
		Denied: actions[r.IntN(len(actions))], Unknown: actions[r.IntN(len(actions))], Foreign: actions[r.IntN(len(actions))],
		X32: actions[r.IntN(len(actions))], Newest: r.IntN(2) == 0,
	}
	for range r.IntN(40) {
		rule := Rule{Then: actions[r.IntN(len(actions))]}
		for range 1 + r.IntN(30) {
			rule.Calls = append(rule.Calls, names[r.IntN(len(names))])
		}
		for range r.IntN(3) {
			c := Condition{Arg: r.IntN(6), Op: Op(r.IntN(6)), Value: []uint64{0, 1<<32 - 1, 1 << 32, 1<<64 - 1, r.Uint64(), uint64(r.Uint32())}[r.IntN(6)]}
			if c.Op == Equal {
				c.Mask = []uint64{1<<32 - 1, ^uint64(0), 1 << 63, 0xff, 0, r.Uint64()}[r.IntN(6)]
				c.Value &= c.Mask
			}
			rule.If = append(rule.If, c)
		}
		p.Rules = append(p.Rules, rule)
	}
	return p
}

// A filter of any policy for any architectures has the policy's meaning.
func TestRandomPolicies(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		p := randomPolicy(r)
		for _, archs := range families() {
			f, err := Compile(p, archs...)
			if errors.Is(err, fs.ErrInvalid) && strings.Contains(err.Error(), "instructions, the kernel takes") {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			verify(t, p, archs, f)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint32(seed), uint64(0), uint64(0))
	}
	f.Fuzz(func(t *testing.T, seed uint64, nr uint32, arg0, arg1 uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		all := families()
		archs := all[r.IntN(len(all))]
		p := randomPolicy(r)
		filter, err := Compile(p, archs...)
		if err != nil {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if err := filter.loadable(); err != nil {
			t.Fatal(err)
		}
		o := newOracle(p, archs)
		for _, n := range []uint32{nr, nr % 600, nr%600 | x32Bit} {
			for _, args := range [][6]uint64{{arg0, arg1}, {5: arg0}, {2: arg1, 3: arg0}} {
				c := Call{Nr: n, Arch: archs[int(nr)%len(archs)].Audit, Args: args}
				got, err := filter.Verdict(c)
				if want := o.verdict(c); err != nil || got != want {
					t.Fatalf("%+v: got %#x, %v, want %#x", c, got, err, want)
				}
			}
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := Compile(Default(capability.Default), Arches[0]); err != nil {
			b.Fatal(err)
		}
	}
}
