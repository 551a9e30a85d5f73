package seccomp

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func machine(t testing.TB, word spec.SeccompArch) Arch {
	a, ok := archOf(word)
	if !ok {
		t.Fatalf("no table for %s", word)
	}
	return a
}

// A profile's rules, one feature each, with calls that they fit and do not fit.
func TestProfileVerdicts(t *testing.T) {
	const (
		read, write, openat, personality, clone3, closeRange, mseal = 0, 1, 257, 135, 435, 436, 462
		amd64, i386                                                 = unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386
	)
	on := func(action spec.SeccompAction, names ...string) spec.SeccompRule {
		return spec.SeccompRule{Action: action, Names: names}
	}
	with := func(r spec.SeccompRule, args ...spec.SeccompArg) spec.SeccompRule {
		r.Args = args
		return r
	}
	arg := func(index uint32, op spec.SeccompOp, values ...uint64) spec.SeccompArg {
		return spec.SeccompArg{Index: index, Op: op, Value: values[0], ValueTwo: append(values, 0)[1]}
	}
	type verdict struct {
		call Call
		want Action
	}
	native := func(nr uint32, want Action, args ...uint64) verdict {
		c := Call{Nr: nr, Arch: amd64}
		copy(c.Args[:], args)
		return verdict{c, want}
	}
	eperm, enosys := Errno(unix.EPERM), Errno(unix.ENOSYS)
	for _, c := range []struct {
		what     string
		profile  spec.SeccompProfile
		verdicts []verdict
	}{
		{"nothing but a default that denies", spec.SeccompProfile{DefaultAction: spec.SeccompErrno}, []verdict{native(read, eperm), native(5000, eperm)}},
		{"a list of what is allowed", spec.SeccompProfile{DefaultAction: spec.SeccompErrno, DefaultErrnoRet: spec.NewErrnoRet(13), Syscalls: []spec.SeccompRule{on(spec.SeccompAllow, "read", "close_range")}}, []verdict{
			native(read, Allow), native(write, Errno(unix.EACCES)), native(clone3, Errno(unix.EACCES)), native(closeRange, Allow),
			native(closeRange+1, enosys), native(mseal, enosys), native(5000, enosys), native(1<<31, enosys),
			native(x32Bit, KillThread), native(x32Bit|5000, KillThread), native(^uint32(0), Errno(unix.EACCES)),
			{Call{Nr: 3, Arch: i386}, KillThread},
		}},
		{"a list of what is denied", spec.SeccompProfile{DefaultAction: spec.SeccompAllow, Syscalls: []spec.SeccompRule{on(spec.SeccompErrno, "read")}}, []verdict{
			native(read, eperm), native(mseal, Allow), native(5000, Allow), native(x32Bit, KillThread), native(1<<31, KillThread), native(^uint32(0), Allow),
		}},
		{"an error of 0", spec.SeccompProfile{DefaultAction: spec.SeccompAllow, Syscalls: []spec.SeccompRule{{Names: []string{"read"}, Action: spec.SeccompErrno, ErrnoRet: spec.NewErrnoRet(0)}}}, []verdict{native(read, Errno(0))}},
		{"all actions", spec.SeccompProfile{DefaultAction: spec.SeccompLog, ListenerPath: "/x", Syscalls: []spec.SeccompRule{
			on(spec.SeccompKill, "read"), on(spec.SeccompKillProcess, "write"), on(spec.SeccompTrap, "openat"), on(spec.SeccompTrace, "close_range"), on(spec.SeccompNotify, "clone3"),
		}}, []verdict{native(read, KillThread), native(write, Kill), native(openat, Trap), native(closeRange, Trace(1)), native(clone3, Notify), native(5000, Log)}},
		{"without conditions before with", spec.SeccompProfile{DefaultAction: spec.SeccompErrno, Syscalls: []spec.SeccompRule{
			with(on(spec.SeccompKill, "read"), arg(0, spec.SeccompEqual, 7)), on(spec.SeccompAllow, "read"), on(spec.SeccompTrap, "read"),
		}}, []verdict{native(read, Allow, 7), native(read, Allow, 8)}},
		{"all conditions of a rule", spec.SeccompProfile{DefaultAction: spec.SeccompErrno, Syscalls: []spec.SeccompRule{
			with(on(spec.SeccompAllow, "read"), arg(0, spec.SeccompGreater, 1<<32), arg(1, spec.SeccompLessOrEqual, 9)),
		}}, []verdict{native(read, Allow, 1<<32+1, 9), native(read, eperm, 1<<32, 9), native(read, eperm, 1<<33, 10), native(read, eperm, 2, 0)}},
		{"each of two conditions on one argument", spec.SeccompProfile{DefaultAction: spec.SeccompErrno, Syscalls: []spec.SeccompRule{
			with(on(spec.SeccompAllow, "personality"), arg(0, spec.SeccompEqual, 0), arg(0, spec.SeccompEqual, 8), arg(1, spec.SeccompEqual, 5)),
		}}, []verdict{native(personality, Allow, 0), native(personality, Allow, 8), native(personality, Allow, 3, 5), native(personality, eperm, 3)}},
		{"a mask", spec.SeccompProfile{DefaultAction: spec.SeccompErrno, Syscalls: []spec.SeccompRule{
			with(on(spec.SeccompAllow, "read"), arg(2, spec.SeccompMaskedEqual, 0xf0, 0x1f)),
		}}, []verdict{native(read, Allow, 0, 0, 0x1f), native(read, Allow, 0, 0, 0xff10), native(read, eperm, 0, 0, 0x20)}},
		{"a mask of nothing", spec.SeccompProfile{DefaultAction: spec.SeccompErrno, Syscalls: []spec.SeccompRule{
			with(on(spec.SeccompKill, "read"), arg(0, spec.SeccompEqual, 0)), with(on(spec.SeccompAllow, "read"), arg(2, spec.SeccompMaskedEqual, 0, 0)),
		}}, []verdict{native(read, Allow)}},
		{"the default action again", spec.SeccompProfile{DefaultAction: spec.SeccompErrno, Syscalls: []spec.SeccompRule{
			on(spec.SeccompErrno, "read", "mseal"), with(on(spec.SeccompAllow, "read"), arg(0, spec.SeccompEqual, 1)),
		}}, []verdict{native(read, Allow, 1), native(read, eperm, 2), native(mseal, eperm), native(mseal+1, enosys)}},
		{"names of nobody", spec.SeccompProfile{DefaultAction: spec.SeccompErrno, Syscalls: []spec.SeccompRule{on(spec.SeccompAllow, "read", "teleport", "write", "write")}}, []verdict{native(read, Allow), native(write, Allow)}},
		{"other architectures", spec.SeccompProfile{
			DefaultAction: spec.SeccompErrno, Architectures: []spec.SeccompArch{spec.SeccompX86, spec.SeccompX32, spec.SeccompAARCH64, "SCMP_ARCH_PPC"},
			Syscalls: []spec.SeccompRule{
				on(spec.SeccompAllow, "read", "close_range"), with(on(spec.SeccompAllow, "write"), arg(0, spec.SeccompEqual, 1<<32|1)),
				with(on(spec.SeccompAllow, "socket"), arg(0, spec.SeccompEqual, 2)), on(spec.SeccompAllow, "bind"), with(on(spec.SeccompKill, "connect"), arg(0, spec.SeccompEqual, 9)),
			},
		}, []verdict{
			native(read, Allow), native(write, Allow, 1<<32|1), native(write, eperm, 1),
			native(x32Bit|read, Allow), native(x32Bit|write, Allow, 1), native(x32Bit|mseal, enosys), native(x32Bit|515, enosys), native(^uint32(0), enosys),
			{Call{Nr: 3, Arch: i386}, Allow},
			{Call{Nr: 4, Arch: i386, Args: [6]uint64{1}}, Allow},
			{Call{Nr: 4, Arch: i386, Args: [6]uint64{2}}, eperm},
			{Call{Nr: 359, Arch: i386, Args: [6]uint64{2}}, Allow},
			{Call{Nr: 359, Arch: i386, Args: [6]uint64{3}}, eperm},
			{Call{Nr: 102, Arch: i386, Args: [6]uint64{1}}, eperm},
			{Call{Nr: 102, Arch: i386, Args: [6]uint64{2}}, Allow},
			{Call{Nr: 102, Arch: i386, Args: [6]uint64{3}}, KillThread},
			{Call{Nr: 63, Arch: unix.AUDIT_ARCH_AARCH64}, KillThread},
		}},
	} {
		policy, archs, err := FromProfile(c.profile, machine(t, spec.SeccompX8664))
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		f, err := Compile(policy, archs...)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		verify(t, policy, archs, f)
		for _, v := range c.verdicts {
			if got, err := f.Verdict(v.call); err != nil || got != v.want {
				t.Errorf("%s: %+v: got %#x, %v, want %#x", c.what, v.call, got, err, v.want)
			}
		}
	}
}

// What a program that uses this library can say and a manifest cannot.
func TestProfileRefuses(t *testing.T) {
	rule := func(r spec.SeccompRule) spec.SeccompProfile {
		return spec.SeccompProfile{DefaultAction: spec.SeccompAllow, Syscalls: []spec.SeccompRule{r}}
	}
	for what, p := range map[string]spec.SeccompProfile{
		"no default":           {},
		"an unknown default":   {DefaultAction: "ACT"},
		"a default of waiting": {DefaultAction: spec.SeccompNotify, ListenerPath: "/x"},
		"an unknown machine":   {DefaultAction: spec.SeccompAllow, Architectures: []spec.SeccompArch{"vax"}},
		"an unknown flag":      {DefaultAction: spec.SeccompAllow, Flags: []spec.SeccompFlag{"FAST"}},
		"an unknown action":    rule(spec.SeccompRule{Names: []string{"read"}}),
		"an error of none":     rule(spec.SeccompRule{Names: []string{"read"}, Action: spec.SeccompKill, ErrnoRet: spec.NewErrnoRet(1)}),
		"nobody to ask":        rule(spec.SeccompRule{Names: []string{"read"}, Action: spec.SeccompNotify}),
		"a seventh argument":   rule(spec.SeccompRule{Names: []string{"read"}, Action: spec.SeccompKill, Args: []spec.SeccompArg{{Index: 6, Op: spec.SeccompEqual}}}),
		"an unknown op":        rule(spec.SeccompRule{Names: []string{"read"}, Action: spec.SeccompKill, Args: []spec.SeccompArg{{}}}),
	} {
		if _, err := NewPlan(p); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: got %v, want fs.ErrInvalid", what, err)
		}
	}
}

func TestPlanFlags(t *testing.T) {
	notify := []spec.SeccompRule{{Names: []string{"mount"}, Action: spec.SeccompNotify}}
	for _, c := range []struct {
		said  []spec.SeccompFlag
		rules []spec.SeccompRule
		want  uint
	}{
		{nil, nil, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{nil, notify, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER},
		{spec.SeccompFlags, notify, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW | unix.SECCOMP_FILTER_FLAG_LOG | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER},
		{spec.SeccompFlags, nil, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW | unix.SECCOMP_FILTER_FLAG_LOG},
		{[]spec.SeccompFlag{spec.SeccompTSync}, nil, 0},
	} {
		plan, err := NewPlan(spec.SeccompProfile{DefaultAction: spec.SeccompAllow, Flags: c.said, Syscalls: c.rules, ListenerPath: "/x", ListenerMetadata: "m"})
		if err != nil || plan.Flags != c.want || plan.Notifies() != (c.rules != nil) || plan.Listener != (Listener{}) != (c.rules != nil) {
			t.Errorf("%v, notify %v: got %#x, %v, %v, want %#x", c.said, c.rules != nil, plan.Flags, plan.Listener, err, c.want)
		}
	}
}

func TestIgnored(t *testing.T) {
	p := spec.SeccompProfile{Syscalls: []spec.SeccompRule{{Names: []string{"read", "warp", "recv"}}, {Names: []string{"set_tls", "teleport", "warp"}}}}
	if got, want := Ignored(p), []string{"teleport", "warp"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Every word of package spec has a meaning here.
func TestWordsAreComplete(t *testing.T) {
	for _, a := range spec.SeccompActions {
		if _, err := action(a, 0); err != nil {
			t.Error(err)
		}
	}
	for _, op := range spec.SeccompOps {
		if _, ok := ops[op]; !ok {
			t.Errorf("no op for %s", op)
		}
	}
	for _, f := range spec.SeccompFlags {
		if _, ok := flags[f]; !ok {
			t.Errorf("no flag for %s", f)
		}
	}
	for native, others := range kin {
		for _, name := range append(others, native) {
			if !slices.ContainsFunc(Arches, func(a Arch) bool { return a.Name == name && slices.Contains(spec.SeccompArchs, a.Word) }) {
				t.Errorf("no table for %s", name)
			}
		}
	}
}

func TestResolve(t *testing.T) {
	rule := func(name string, includes, excludes spec.SeccompWhere) spec.SeccompFileRule {
		return spec.SeccompFileRule{Names: []string{name}, Action: spec.SeccompAllow, Includes: includes, Excludes: excludes}
	}
	type where = spec.SeccompWhere
	file := spec.SeccompFile{
		DefaultAction: spec.SeccompErrno, DefaultErrnoRet: spec.NewErrnoRet(1), DefaultErrno: "ENOSYS",
		ArchMap: []spec.SeccompArchMap{
			{Architecture: spec.SeccompAARCH64, SubArchitectures: []spec.SeccompArch{spec.SeccompARM}},
			{Architecture: spec.SeccompX8664, SubArchitectures: []spec.SeccompArch{spec.SeccompX86}},
		},
		Syscalls: []spec.SeccompFileRule{
			{Name: "old", Action: spec.SeccompErrno, ErrnoRet: spec.NewErrnoRet(1)},
			{Names: []string{"named"}, Action: spec.SeccompErrno, Errno: "EACCES", Includes: where{}},
			{Names: []string{"digits"}, Action: spec.SeccompTrace, Errno: "77"},
			{Names: []string{"told"}, Action: spec.SeccompAllow, Errno: "EPERM"},
			rule("here", where{Arches: []string{"s390", "amd64"}}, where{}), rule("there", where{Arches: []string{"s390"}}, where{}),
			rule("not here", where{}, where{Arches: []string{"amd64"}}),
			rule("held", where{Caps: []string{"CAP_CHOWN", "CAP_KILL"}}, where{}), rule("one missing", where{Caps: []string{"CAP_CHOWN", "CAP_SYS_ADMIN"}}, where{}),
			rule("unknown", where{Caps: []string{"CAP_FLY"}}, where{}), rule("for the weak", where{}, where{Caps: []string{"CAP_SYS_ADMIN"}}),
			rule("not for the strong", where{}, where{Caps: []string{"CAP_SYS_ADMIN", "CAP_KILL"}}),
			rule("old kernel", where{MinKernel: "4.8"}, where{}), rule("same kernel", where{MinKernel: "6.9"}, where{}), rule("new kernel", where{MinKernel: "6.10"}, where{}),
			rule("before 6.9", where{}, where{MinKernel: "6.9"}), rule("before 7", where{}, where{MinKernel: "7.0"}),
			rule("all or nothing", where{Arches: []string{"amd64"}, MinKernel: "7.0"}, where{}),
		},
	}
	got, err := Resolve(file, Place{Arch: machine(t, spec.SeccompX8664), Bounding: 1<<unix.CAP_CHOWN | 1<<unix.CAP_KILL, Kernel: "6.9.3-arch1"})
	if err != nil {
		t.Fatal(err)
	}
	want := spec.SeccompProfile{DefaultAction: spec.SeccompErrno, DefaultErrnoRet: spec.NewErrnoRet(38), Architectures: []spec.SeccompArch{spec.SeccompX8664, spec.SeccompX86}, Syscalls: []spec.SeccompRule{
		{Names: []string{"old"}, Action: spec.SeccompErrno, ErrnoRet: spec.NewErrnoRet(1)},
		{Names: []string{"named"}, Action: spec.SeccompErrno, ErrnoRet: spec.NewErrnoRet(13)},
		{Names: []string{"digits"}, Action: spec.SeccompTrace, ErrnoRet: spec.NewErrnoRet(77)},
		{Names: []string{"told"}, Action: spec.SeccompAllow},
	}}
	for _, name := range []string{"here", "held", "for the weak", "old kernel", "same kernel", "before 7"} {
		want.Syscalls = append(want.Syscalls, spec.SeccompRule{Names: []string{name}, Action: spec.SeccompAllow})
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got:\n%+v\nwant:\n%+v", got, want)
	}
	if _, err := Resolve(spec.SeccompFile{DefaultAction: spec.SeccompErrno, DefaultErrno: "ENONSENSE"}, Place{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("an unknown error: %v", err)
	}
	for release, want := range map[string][]int{"6.18.5": {6, 18}, "5.10-rc1": {5, 10}, "4.8": {4, 8}, "7": {7, 0}, "": {0, 0}} {
		if got := version(release); !slices.Equal(got, want) {
			t.Errorf("version(%q) = %v, want %v", release, got, want)
		}
	}
}
