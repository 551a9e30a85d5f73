package seccomp_test

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
	libseccomp "github.com/seed31d4122e/reconciler/test/seccomp"
)

// difference is where the two sides may differ, and why.
type difference struct {
	why string
	fit func(sample) bool
}

// sample is a call with two verdicts.
type sample struct {
	profile   spec.SeccompProfile
	archs     []seccomp.Arch
	theirs    runc
	call      seccomp.Call
	name      string
	got, want seccomp.Action
}

// differences are all of them.
var differences = []difference{
	{"rules with several actions fit, and libseccomp has no order for them", sample.ambiguous},
	{"socketcall and ipc: a condition on a call behind them cannot be checked; libseccomp allows, here only stricter rules count, and ipc's version does not hide its number", sample.multiplexed},
	{"several rules on one call, one with several conditions: libseccomp merges their comparisons, and then misses a fit or sees one that is none", sample.entangled},
	{"the newest call of a profile: libseccomp takes i386's sockets and semaphores for numberless, and arm's own calls for the newest of all", sample.newest},
}

// explain is why the sides differ; "" is a mistake.
func explain(p spec.SeccompProfile, archs []seccomp.Arch, theirs runc, c seccomp.Call, got, want seccomp.Action) string {
	s := sample{p, archs, theirs, c, nameOf(archs, c), got, want}
	for _, d := range differences {
		if d.fit(s) {
			return d.why
		}
	}
	return ""
}

// ambiguous: each side has the verdict of a rule that fits.
func (s sample) ambiguous() bool {
	var fit []seccomp.Action
	for _, r := range s.profile.Syscalls {
		if slices.Contains(r.Names, s.name) && s.fits(r.Args) {
			fit = append(fit, verdictOf(r.Action, r.ErrnoRet))
		}
	}
	return slices.Contains(fit, s.got) && slices.Contains(fit, s.want)
}

// entangled: here the verdict is the profile's, read word by word.
func (s sample) entangled() bool {
	rules, several := 0, false
	for _, r := range s.profile.Syscalls {
		if slices.Contains(r.Names, s.name) && len(r.Args) > 0 {
			rules++
			several = several || len(r.Args) > 1
		}
	}
	return rules > 1 && several && s.got == s.meaning()
}

// meaning is the verdict of the profile on a call that no other goes through, and that is no new one.
func (s sample) meaning() seccomp.Action {
	denied := verdictOf(s.profile.DefaultAction, s.profile.DefaultErrnoRet)
	var first []seccomp.Action
	for _, r := range s.profile.Syscalls {
		then := verdictOf(r.Action, r.ErrnoRet)
		if then == denied || !slices.Contains(r.Names, s.name) {
			continue
		}
		if len(r.Args) == 0 {
			return then
		}
		if s.fits(r.Args) {
			first = append(first, then)
		}
	}
	return append(first, denied)[0]
}

// fits tells whether the conditions of a rule hold, in the words of the runtime specification.
func (s sample) fits(args []spec.SeccompArg) bool {
	seen := map[uint32]int{}
	var holding int
	for _, a := range args {
		seen[a.Index]++
		if s.holds(a) {
			holding++
		}
	}
	if len(seen) < len(args) { // each is a rule of its own
		return holding > 0
	}
	return holding == len(args)
}

func (s sample) holds(a spec.SeccompArg) bool {
	arg, value, two := s.call.Args[a.Index], a.Value, a.ValueTwo
	if s.call.Arch == unix.AUDIT_ARCH_I386 || s.call.Arch == unix.AUDIT_ARCH_ARM || s.call.Arch == unix.AUDIT_ARCH_X86_64 && s.call.Nr >= x32 {
		arg, value, two = uint64(uint32(arg)), uint64(uint32(value)), uint64(uint32(two))
	}
	return map[spec.SeccompOp]bool{
		spec.SeccompNotEqual: arg != value, spec.SeccompLess: arg < value, spec.SeccompLessOrEqual: arg <= value, spec.SeccompEqual: arg == value,
		spec.SeccompGreaterOrEqual: arg >= value, spec.SeccompGreater: arg > value, spec.SeccompMaskedEqual: arg&value == two&value,
	}[a.Op]
}

func verdictOf(action spec.SeccompAction, number spec.ErrnoRet) seccomp.Action {
	p, _, err := seccomp.FromProfile(spec.SeccompProfile{DefaultAction: action, DefaultErrnoRet: number}, seccomp.Native())
	if err != nil { // what cannot be a default
		return seccomp.Notify
	}
	return p.Denied
}

func (s sample) multiplexed() bool {
	return s.call.Arch == unix.AUDIT_ARCH_I386 && (s.name == "socketcall" || s.name == "ipc")
}

// newest: one side has ENOSYS for a number that is above its newest one and not above the other's.
func (s sample) newest() bool {
	if s.got != enosys && s.want != enosys {
		return false
	}
	if s.call.Arch == unix.AUDIT_ARCH_ARM {
		return s.theirs.newest[spec.SeccompARM] >= 0xf0000 && s.got == enosys || s.call.Nr >= 0xf0000 && s.want == enosys
	}
	behind := func(name string) bool {
		nr, ok := arch(spec.SeccompX86).Calls[name]
		_, direct := libseccomp.Number(name, spec.SeccompX86)
		return ok && !direct && nr >= s.call.Nr
	}
	return s.call.Arch == unix.AUDIT_ARCH_I386 && s.want == enosys && slices.ContainsFunc(s.profile.Syscalls, func(r spec.SeccompRule) bool {
		return slices.ContainsFunc(r.Names, behind)
	})
}
