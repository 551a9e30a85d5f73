package seccomp

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// actions are the words for actions that return no number.
var actions = map[spec.SeccompAction]Action{
	spec.SeccompKill: KillThread, spec.SeccompKillThread: KillThread, spec.SeccompKillProcess: Kill, spec.SeccompTrap: Trap,
	spec.SeccompAllow: Allow, spec.SeccompLog: Log, spec.SeccompNotify: Notify,
}

// ops are the words for comparisons.
var ops = map[spec.SeccompOp]Op{
	spec.SeccompNotEqual: NotEqual, spec.SeccompLess: Less, spec.SeccompLessOrEqual: LessOrEqual, spec.SeccompEqual: Equal,
	spec.SeccompGreaterOrEqual: GreaterOrEqual, spec.SeccompGreater: Greater, spec.SeccompMaskedEqual: Equal,
}

// kin are the machines whose programs a machine runs.
var kin = map[string][]string{"amd64": {"386", "x32"}, "arm64": {"arm"}}

// FromProfile is the policy of a profile, and the architectures it is for: the native one, and those of its list whose
// programs that one runs. An error is fs.ErrInvalid.
//
// The meaning is that of runc and libseccomp:
//
//   - A rule without conditions decides for its calls before all with conditions, and the first such one before others.
//   - A rule whose action is the default one is passed over, and so are names that no table has. But all names count where
//     calls newer than the profile fail with ENOSYS, which they do unless the default action lets calls pass.
//   - Of a rule that has two conditions on one argument, each condition is a rule of its own.
//   - Bits of valueTwo outside the mask do not count.
//   - Calls of other architectures, and of x32 where it is not listed, kill the thread.
//
// Where several rules with conditions fit one call, the first of them decides; libseccomp promises no order there.
func FromProfile(p spec.SeccompProfile, native Arch) (Policy, []Arch, error) {
	denied, err := action(p.DefaultAction, p.DefaultErrnoRet)
	switch {
	case err != nil:
		return Policy{}, nil, fmt.Errorf("defaultAction: %w", err)
	case denied == Notify:
		return Policy{}, nil, fmt.Errorf("defaultAction: %s would stop the program before it starts: %w", p.DefaultAction, fs.ErrInvalid)
	}
	archs, err := architectures(p.Architectures, native)
	if err != nil {
		return Policy{}, nil, err
	}
	policy := Policy{Denied: denied, Unknown: denied, Newest: !passes(denied), X32: KillThread, Foreign: KillThread}
	policy.Rules, err = rules(p.Syscalls, denied)
	return policy, archs, err
}

// passes tells the actions that may let a call run by themselves, or have a tracer that knows new calls.
func passes(a Action) bool {
	full := a & unix.SECCOMP_RET_ACTION_FULL
	return full == Allow || full == Log || full == Trace(0)
}

func action(word spec.SeccompAction, number spec.ErrnoRet) (Action, error) {
	value := uint16(unix.EPERM)
	if !number.IsZero() {
		value = number.Value()
	}
	switch a, ok := actions[word]; {
	case word == spec.SeccompErrno:
		return Errno(unix.Errno(value)), nil
	case word == spec.SeccompTrace:
		return Trace(value), nil
	case !ok:
		return 0, fmt.Errorf("unknown action %q: %w", word, fs.ErrInvalid)
	case !number.IsZero():
		return 0, fmt.Errorf("action %s returns no error: %w", word, fs.ErrInvalid)
	default:
		return a, nil
	}
}

func architectures(words []spec.SeccompArch, native Arch) ([]Arch, error) {
	archs := []Arch{native}
	for _, word := range words {
		if !slices.Contains(spec.SeccompArchs, word) {
			return nil, fmt.Errorf("unknown architecture %q: %w", word, fs.ErrInvalid)
		}
		if a, ok := archOf(word); ok && slices.Contains(kin[native.Name], a.Name) {
			archs = append(archs, a)
		}
	}
	return archs, nil
}

// rules puts rules into the order in which a policy tries them.
func rules(list []spec.SeccompRule, denied Action) ([]Rule, error) {
	var always, sometimes, passed []Rule
	decided := map[string]bool{}
	for i, r := range list {
		then, err := action(r.Action, r.ErrnoRet)
		if err != nil {
			return nil, fmt.Errorf("syscalls[%d]: %w", i, err)
		}
		alternatives, err := conditions(r.Args)
		if err != nil {
			return nil, fmt.Errorf("syscalls[%d]: %w", i, err)
		}
		calls := slices.DeleteFunc(slices.Clone(r.Names), func(name string) bool { return !known(name) })
		for _, all := range alternatives {
			switch rule := (Rule{Calls: calls, If: all, Then: then}); {
			case then == denied:
				passed = append(passed, Rule{Calls: calls, Then: denied})
			case len(all) > 0:
				sometimes = append(sometimes, rule)
			default:
				rule.Calls = slices.DeleteFunc(slices.Clone(calls), func(name string) bool { return decided[name] })
				for _, name := range rule.Calls {
					decided[name] = true
				}
				always = append(always, rule)
			}
		}
	}
	return slices.Concat(always, sometimes, passed), nil
}

// conditions are the lists of conditions of a rule: one of the lists must hold, all of it.
func conditions(args []spec.SeccompArg) (alternatives [][]Condition, err error) {
	all := make([]Condition, 0, len(args))
	var seen [6]int
	for i, a := range args {
		c, err := condition(a)
		if err != nil {
			return nil, fmt.Errorf("args[%d]: %w", i, err)
		}
		all = append(all, c)
		seen[c.Arg]++
	}
	always := func(c Condition) bool { return c.empty(false) }
	if slices.Max(seen[:]) <= 1 {
		return [][]Condition{slices.DeleteFunc(all, always)}, nil
	}
	for _, c := range all {
		alternatives = append(alternatives, slices.DeleteFunc([]Condition{c}, always))
	}
	return alternatives, nil
}

func condition(a spec.SeccompArg) (Condition, error) {
	op, ok := ops[a.Op]
	switch {
	case !ok:
		return Condition{}, fmt.Errorf("unknown op %q: %w", a.Op, fs.ErrInvalid)
	case a.Index > 5:
		return Condition{}, fmt.Errorf("index %d is more than 5: %w", a.Index, fs.ErrInvalid)
	}
	c := Condition{Arg: int(a.Index), Op: op, Value: a.Value}
	switch a.Op {
	case spec.SeccompEqual:
		c.Mask = ^uint64(0)
	case spec.SeccompMaskedEqual:
		c.Mask, c.Value = a.Value, a.ValueTwo&a.Value
	}
	return c, nil
}

// Ignored are the names in a profile that no table has, sorted: calls of other machines, newer ones, mistakes.
func Ignored(p spec.SeccompProfile) (names []string) {
	for _, r := range p.Syscalls {
		for _, name := range r.Names {
			if !known(name) {
				names = append(names, name)
			}
		}
	}
	slices.SortFunc(names, cmp.Compare)
	return slices.Compact(names)
}
