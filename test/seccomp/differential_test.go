package seccomp_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
	libseccomp "github.com/seed31d4122e/reconciler/test/seccomp"
)

const (
	profiles = 200
	x32      = 0x40000000
)

var enosys = seccomp.Errno(unix.ENOSYS)

// machine is a node: its own architecture and those of the other programs it runs.
type machine struct {
	native spec.SeccompArch
	others []spec.SeccompArch
}

var machines = []machine{
	{spec.SeccompX8664, []spec.SeccompArch{spec.SeccompX86, spec.SeccompX32}},
	{spec.SeccompAARCH64, []spec.SeccompArch{spec.SeccompARM}},
}

func arch(word spec.SeccompArch) seccomp.Arch {
	i := slices.IndexFunc(seccomp.Arches, func(a seccomp.Arch) bool { return a.Word == word })
	return seccomp.Arches[i]
}

// names are calls that both sides know, in order, and some that neither does.
func names() []string {
	all := map[string]bool{"teleport": true, "riscv_flush_icache": true}
	for _, a := range seccomp.Arches {
		for name := range a.Calls {
			if libseccomp.Known(name) {
				all[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// generate makes a profile from a seed. A name has one action in most of the profiles' conditional rules: where rules with
// several fit, no order is promised.
func generate(r *rand.Rand, m machine, names []string) spec.SeccompProfile {
	action := func() (spec.SeccompAction, spec.ErrnoRet) {
		a := spec.SeccompActions[r.IntN(len(spec.SeccompActions))]
		if (a == spec.SeccompErrno || a == spec.SeccompTrace) && r.IntN(3) > 0 {
			return a, spec.NewErrnoRet(uint16(r.IntN(4000)))
		}
		return a, 0
	}
	p := spec.SeccompProfile{ListenerPath: "/run/agent.sock"}
	for p.DefaultAction, p.DefaultErrnoRet = action(); p.DefaultAction == spec.SeccompNotify; {
		p.DefaultAction, p.DefaultErrnoRet = action()
	}
	for _, other := range m.others {
		if r.IntN(2) == 0 {
			p.Architectures = append(p.Architectures, other)
		}
	}
	few := make([]string, 1+r.IntN(40)) // so that some are in several rules
	for i := range few {
		few[i] = names[r.IntN(len(names))]
	}
	few = append(few, []string{"clone", "socket", "socketcall", "ipc", "semop", "set_tls", "personality"}[r.IntN(7)])
	one, oneErrno := action()
	for range 1 + r.IntN(30) {
		rule := spec.SeccompRule{}
		rule.Action, rule.ErrnoRet = action()
		for range 1 + r.IntN(12) {
			rule.Names = append(rule.Names, few[r.IntN(len(few))])
		}
		if r.IntN(3) > 0 {
			rule.Args = conditions(r)
			if r.IntN(20) > 0 {
				rule.Action, rule.ErrnoRet = one, oneErrno
			}
		}
		p.Syscalls = append(p.Syscalls, rule)
	}
	if r.IntN(4) == 0 { // a long list
		p.Syscalls = append(p.Syscalls, spec.SeccompRule{Names: slices.Clone(names[:100+r.IntN(200)]), Action: spec.SeccompAllow})
	}
	return p
}

func conditions(r *rand.Rand) (args []spec.SeccompArg) {
	values := []uint64{0, 1, 2, 40, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 | 40, 0x7e020000, 1<<64 - 1, r.Uint64(), uint64(r.Uint32())}
	value := func() uint64 { return values[r.IntN(len(values))] }
	indexes := r.Perm(6)[:1+r.IntN(3)]
	if r.IntN(6) == 0 { // twice
		indexes = append(indexes, indexes[0])
	}
	for _, i := range indexes {
		args = append(args, spec.SeccompArg{Index: uint32(i), Value: value(), ValueTwo: value(), Op: spec.SeccompOps[r.IntN(len(spec.SeccompOps))]})
	}
	return args
}

// runc is the verdict of a profile by runc: libseccomp's filter behind a stub that makes new calls fail with ENOSYS.
type runc struct {
	filter seccomp.Filter
	newest map[spec.SeccompArch]uint32
	stub   bool
}

func newRunc(p spec.SeccompProfile, native spec.SeccompArch) (runc, error) {
	f, err := libseccomp.Compile(p, native)
	passes := p.DefaultAction == spec.SeccompAllow || p.DefaultAction == spec.SeccompLog || p.DefaultAction == spec.SeccompTrace
	o := runc{f, map[spec.SeccompArch]uint32{}, !passes}
	for _, word := range append([]spec.SeccompArch{native}, p.Architectures...) {
		for _, r := range p.Syscalls {
			for _, name := range r.Names {
				if nr, ok := libseccomp.Number(name, word); ok && nr > o.newest[word] {
					o.newest[word] = nr
				}
			}
		}
	}
	return o, err
}

func (o runc) verdict(c seccomp.Call) (seccomp.Action, error) {
	word := map[uint32]spec.SeccompArch{
		unix.AUDIT_ARCH_X86_64: spec.SeccompX8664, unix.AUDIT_ARCH_I386: spec.SeccompX86,
		unix.AUDIT_ARCH_AARCH64: spec.SeccompAARCH64, unix.AUDIT_ARCH_ARM: spec.SeccompARM,
	}[c.Arch]
	if word == spec.SeccompX8664 && c.Nr&x32 != 0 {
		word = spec.SeccompX32
	}
	if newest := o.newest[word]; o.stub && newest > 0 && c.Nr > newest {
		return enosys, nil
	}
	return o.filter.Verdict(c)
}

// samples are the calls to compare: every number around the tables, with arguments on both sides of every condition on it.
func samples(p spec.SeccompProfile, m machine) (all []seccomp.Call) {
	words := append([]spec.SeccompArch{m.native}, m.others...)
	conditioned := map[string][][6]uint64{}
	for _, r := range p.Syscalls {
		for _, name := range r.Names {
			conditioned[name] = append(conditioned[name], arguments(r.Args)...)
		}
	}
	for _, word := range words {
		a := arch(word)
		base := uint32(0)
		if word == spec.SeccompX32 {
			base = x32
		}
		byNumber := map[uint32]string{}
		for name, nr := range a.Calls {
			byNumber[nr] = name
		}
		numbers := slices.AppendSeq([]uint32{1 << 31, 1<<31 | 5, 3 << 30, 1<<32 - 1, 1<<32 - 2, 1<<31 - 1}, maps.Keys(byNumber))
		for nr := base; nr < base+600; nr++ {
			numbers = append(numbers, nr)
		}
		slices.Sort(numbers)
		for _, nr := range slices.Compact(numbers) {
			sets := append([][6]uint64{{}, {1, 2, 3, 4, 5, 6}}, conditioned[byNumber[nr]]...)
			if name := byNumber[nr]; name == "socketcall" || name == "ipc" {
				for n := range uint64(26) {
					sets = append(sets, [6]uint64{n})
				}
			}
			for _, args := range sets {
				all = append(all, seccomp.Call{Nr: nr, Arch: a.Audit, Args: args})
			}
		}
	}
	return append(all, seccomp.Call{Nr: 1, Arch: unix.AUDIT_ARCH_PPC64LE}, seccomp.Call{Nr: 1})
}

func arguments(conditions []spec.SeccompArg) (sets [][6]uint64) {
	var fit [6]uint64
	for _, c := range conditions {
		switch fit[c.Index] = c.Value; c.Op {
		case spec.SeccompNotEqual, spec.SeccompGreater:
			fit[c.Index]++
		case spec.SeccompLess:
			fit[c.Index]--
		case spec.SeccompMaskedEqual:
			fit[c.Index] = c.ValueTwo & c.Value
		}
	}
	sets = append(sets, fit)
	for _, c := range conditions {
		for _, v := range []uint64{c.Value, c.Value - 1, c.Value + 1, c.Value + 1<<32, c.Value - 1<<32, c.Value ^ 1<<63, c.ValueTwo, c.ValueTwo | ^c.Value, c.ValueTwo&c.Value ^ 1} {
			set := fit
			set[c.Index] = v
			sets = append(sets, set)
		}
	}
	return sets
}

// Two compilers give the same verdicts, but for what is listed in differences.
func TestAgainstLibseccomp(t *testing.T) {
	all := names()
	if len(all) < 450 {
		t.Fatalf("both sides know only %d names", len(all))
	}
	seen, compared, refused := map[string]int{}, 0, 0
	for seed, done := uint64(0), 0; done < profiles; seed++ {
		r := rand.New(rand.NewPCG(seed, 7))
		m := machines[seed%uint64(len(machines))]
		p := generate(r, m, all)
		theirs, err := newRunc(p, m.native)
		if errors.Is(err, unix.EEXIST) { // libseccomp takes no rule twice, and runc then starts nothing
			refused++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		done++
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			policy, archs, err := seccomp.FromProfile(p, arch(m.native))
			if err != nil {
				t.Fatal(err)
			}
			ours, err := seccomp.Compile(policy, archs...)
			if err != nil {
				t.Fatal(err)
			}
			wrong := 0
			for _, c := range samples(p, m) {
				compared++
				got, err := ours.Verdict(c)
				if err != nil {
					t.Fatal(err)
				}
				want, err := theirs.verdict(c)
				if err != nil {
					t.Fatal(err)
				}
				if got == want {
					continue
				}
				if why := explain(p, archs, theirs, c, got, want); why != "" {
					seen[why]++
				} else if wrong++; wrong < 5 {
					t.Errorf("%s: %+v: got %#x, libseccomp has %#x", describe(p, archs, c), c, got, want)
				}
			}
		})
	}
	t.Logf("%d calls compared; libseccomp refused %d further profiles", compared, refused)
	if refused > 4*profiles {
		t.Errorf("libseccomp refuses too many profiles")
	}
	for _, d := range differences {
		t.Logf("%d times: %s", seen[d.why], d.why)
		if seen[d.why] == 0 {
			t.Errorf("a difference is listed and not seen: %s", d.why)
		}
		if seen[d.why]*100 > compared*2 {
			t.Errorf("too many differences: %s", d.why)
		}
	}
}

// describe are the rules of a profile on a call.
func describe(p spec.SeccompProfile, archs []seccomp.Arch, c seccomp.Call) (text string) {
	name := nameOf(archs, c)
	text = fmt.Sprintf("%s (default %s)", name, p.DefaultAction)
	for _, r := range p.Syscalls {
		if slices.Contains(r.Names, name) {
			text += fmt.Sprintf("\n  %s %v %v", r.Action, r.ErrnoRet, r.Args)
		}
	}
	return text
}

func nameOf(archs []seccomp.Arch, c seccomp.Call) string {
	for _, a := range archs {
		for name, nr := range a.Calls {
			if a.Audit == c.Arch && nr == c.Nr {
				return name
			}
		}
	}
	return ""
}
