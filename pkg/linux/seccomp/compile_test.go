package seccomp

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
)

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
			for _, v := range []uint64{c.Value, c.Value ^ 1, c.Value | 1<<32, c.Value | ^c.Mask, c.Value ^ c.Mask, c.Mask & -c.Mask} {
				var args [6]uint64
				args[c.Arg] = v
				sets = append(sets, args)
			}
		}
		sets = append(sets, all)
	}
	return sets
}

// interesting are the numbers around everything a table has, and those of x32.
func interesting() []uint32 {
	var numbers []uint32
	for nr := range uint32(601) {
		numbers = append(numbers, nr, nr|0x40000000)
	}
	return append(numbers, 1<<31-1, 1<<31, ^uint32(0))
}

func verify(t *testing.T, p Policy, arch Arch, f Filter) {
	t.Helper()
	for _, nr := range interesting() {
		name := nameOf(arch, nr)
		for _, args := range argumentSets(p, name) {
			got, err := run(f, call{nr: nr, arch: arch.Audit, args: args})
			if w := want(p, name, args); err != nil || got != w {
				t.Fatalf("%s call %d (%s)%v: got %#x, %v, want %#x", arch.Name, nr, name, args, got, err, w)
			}
		}
	}
	for _, other := range []uint32{0, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_ARM, arch.Audit ^ 1} {
		if got, err := run(f, call{nr: 1, arch: other}); err != nil || got != p.Foreign {
			t.Errorf("%s call of architecture %#x: got %#x, %v", arch.Name, other, got, err)
		}
	}
}

func TestDefaultFilterGivesTheVerdictOfThePolicy(t *testing.T) {
	for _, caps := range []capability.Set{0, capability.Default, capability.UpTo(40)} {
		p := Default(caps)
		for _, arch := range Arches {
			f, err := Compile(p, arch)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s with capabilities %v: %d instructions", arch.Name, caps, len(f))
			verify(t, p, arch, f)
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
		call
		want Action
	}{
		"x32 write":  {call{nr: 0x40000001, arch: unix.AUDIT_ARCH_X86_64}, Errno(unix.ENOSYS)},
		"i386 exit":  {call{nr: 1, arch: unix.AUDIT_ARCH_I386}, Kill},
		"write":      {call{nr: 1, arch: unix.AUDIT_ARCH_X86_64}, Allow},
		"call of -1": {call{nr: ^uint32(0), arch: unix.AUDIT_ARCH_X86_64}, Errno(unix.ENOSYS)},
	} {
		if got, err := run(f, c.call); err != nil || got != c.want {
			t.Errorf("%s: got %#x, %v, want %#x", what, got, err, c.want)
		}
	}
}

// A policy of many conditions makes the halves of the search longer than a short jump reaches.
func TestLongFilters(t *testing.T) {
	for _, arch := range Arches {
		p := Policy{Denied: Errno(unix.EPERM), Unknown: Errno(unix.ENOSYS), Foreign: Kill}
		for call, nr := range arch.Calls {
			p.Rules = append(p.Rules, Rule{[]string{call}, []Condition{{int(nr % 6), 0xffff_0000_ffff, uint64(nr)}}, Errno(unix.Errno(nr))})
		}
		f, err := Compile(p, arch)
		if err != nil {
			t.Fatal(err)
		}
		verify(t, p, arch, f)
	}
}

func TestCompileRefuses(t *testing.T) {
	huge := Policy{}
	for n := range uint64(1000) {
		huge.Rules = append(huge.Rules, Rule{[]string{"read", "write", "open", "close", "ioctl", "mmap"}, []Condition{{0, ^uint64(0), n}, {1, ^uint64(0), n}}, Allow})
	}
	for what, p := range map[string]Policy{
		"a name nobody has":          {Rules: []Rule{{Calls: []string{"openat3"}}}},
		"an argument there is not":   {Rules: []Rule{{[]string{"read"}, []Condition{{Arg: 6}}, Allow}}},
		"a value outside its mask":   {Rules: []Rule{{[]string{"read"}, []Condition{{0, 1, 2}}, Allow}}},
		"more than the kernel takes": huge,
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
func randomPolicy(r *rand.Rand, arch Arch) Policy {
	names := make([]string, 0, len(arch.Calls))
	for name := range arch.Calls {
		names = append(names, name)
	}
	slices.Sort(names)
	p := Policy{Denied: Errno(1), Unknown: Errno(38), Foreign: Kill}
	for range r.IntN(40) {
		rule := Rule{Then: []Action{Allow, Kill, Errno(13), Errno(38), Errno(1)}[r.IntN(5)]}
		for range 1 + r.IntN(30) {
			rule.Calls = append(rule.Calls, names[r.IntN(len(names))])
		}
		for range r.IntN(3) {
			mask := []uint64{1<<32 - 1, ^uint64(0), 1 << 63, 0xff, 0, r.Uint64()}[r.IntN(6)]
			rule.If = append(rule.If, Condition{r.IntN(6), mask, r.Uint64() & mask})
		}
		p.Rules = append(p.Rules, rule)
	}
	return p
}

func FuzzCompile(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint32(seed), uint64(0), uint64(0))
	}
	f.Fuzz(func(t *testing.T, seed uint64, nr uint32, arg0, arg1 uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		arch := Arches[r.IntN(len(Arches))]
		p := randomPolicy(r, arch)
		filter, err := Compile(p, arch)
		if err != nil {
			if len(p.Rules) < 10 {
				t.Fatal(err)
			}
			return // too long is an honest answer
		}
		for _, nr := range []uint32{nr, r.Uint32N(600), r.Uint32N(600)} {
			name := nameOf(arch, nr)
			for _, args := range append(argumentSets(p, name), [6]uint64{arg0, arg1, arg0, arg1, arg0, arg1}) {
				got, err := run(filter, call{nr: nr, arch: arch.Audit, args: args})
				if w := want(p, name, args); err != nil || got != w {
					t.Fatalf("%s call %d (%s)%v: got %#x, %v, want %#x", arch.Name, nr, name, args, got, err, w)
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
