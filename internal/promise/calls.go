package promise

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The verdicts on system calls.
const (
	allowed = "allowed"
	judged  = "by argument"
)

// Verdict is the word for an action.
func Verdict(a seccomp.Action) string {
	switch {
	case a == seccomp.Allow:
		return allowed
	case a == seccomp.Kill:
		return "the process is killed"
	case a&unix.SECCOMP_RET_ACTION_FULL == unix.SECCOMP_RET_ERRNO:
		return unix.ErrnoName(unix.Errno(a & unix.SECCOMP_RET_DATA))
	}
	return fmt.Sprintf("%#x", uint32(a))
}

// calls are what happens to each system call that is known, by verdict.
func (p Promise) calls() Section {
	s := Section{
		Title: Calls,
		Text: "The default filter (`security.seccomp: Default`), for the default capabilities. A call that this table does not know, because it is newer or does not exist, fails " +
			"with ENOSYS, so that programs fall back; uprobe and uretprobe are never judged by the kernel.",
		Columns: []string{"verdict", "calls"}, Facts: 2,
	}
	byVerdict := map[string][]string{}
	for name, verdict := range Names(policy()) {
		byVerdict[verdict] = append(byVerdict[verdict], name)
	}
	for _, verdict := range []string{allowed, judged, "ENOSYS", "EPERM"} {
		names := byVerdict[verdict]
		delete(byVerdict, verdict)
		slices.Sort(names)
		s.Rows = append(s.Rows, []string{verdict, strings.Join(names, " ")})
	}
	if len(byVerdict) > 0 {
		panic(fmt.Sprintf("verdicts without a row: %v", byVerdict))
	}
	return s
}

// policy is that of a container that says nothing.
func policy() seccomp.Policy { return seccomp.Default(capability.Default) }

// Names are the verdicts of a policy on the calls of the machines there are containers for.
func Names(p seccomp.Policy) map[string]string {
	verdicts := map[string]string{}
	for _, arch := range seccomp.Arches {
		if arch.Name != "amd64" && arch.Name != "arm64" {
			continue
		}
		for name := range arch.Calls {
			verdicts[name] = Verdict(p.Denied)
		}
	}
	for name := range verdicts {
		for _, rule := range p.Rules {
			if slices.Contains(rule.Calls, name) {
				verdicts[name] = Verdict(rule.Then)
				if len(rule.If) > 0 {
					verdicts[name] = judged
				}
				break
			}
		}
	}
	return verdicts
}

// Granted are the calls that a capability opens, by its name.
func Granted() map[string][]string {
	plain, opened := Names(seccomp.Default(0)), map[string][]string{}
	for n, name := range spec.CapabilityNames {
		for call, verdict := range Names(seccomp.Default(capability.Of(n))) {
			if verdict == allowed && plain[call] != allowed {
				opened[name] = append(opened[name], call)
			}
		}
		slices.Sort(opened[name])
	}
	return opened
}

// grantedCalls is Granted as rows.
func (p Promise) grantedCalls() Section {
	s := Section{
		Title:   GrantedCalls,
		Text:    "Allowed to a container that can have the capability, and to no other.",
		Columns: []string{"capability", "calls", "by default"}, Facts: 2,
	}
	opened := Granted()
	for n, name := range spec.CapabilityNames {
		if len(opened[name]) == 0 {
			continue
		}
		held := "no"
		if capability.Default.Has(n) {
			held = "yes"
		}
		s.Rows = append(s.Rows, []string{name, strings.Join(opened[name], " "), held})
	}
	return s
}

// judgedCalls are the rules that look at arguments, in the order in which they are tried.
func (p Promise) judgedCalls() Section {
	s := Section{
		Title:   JudgedCalls,
		Text:    "The first line that fits counts. Arguments are numbered from 0.",
		Columns: []string{"calls", "condition", "verdict"}, Facts: 3,
	}
	for _, rule := range Judged() {
		s.Rows = append(s.Rows, []string{strings.Join(rule.Calls, " "), Condition(rule), Verdict(rule.Then)})
	}
	return s
}

// Judged are the rules on calls of which some depend on arguments.
func Judged() (rules []seccomp.Rule) {
	var calls []string
	for _, rule := range policy().Rules {
		if len(rule.If) > 0 {
			calls = append(calls, rule.Calls...)
		}
	}
	for _, rule := range policy().Rules {
		if slices.ContainsFunc(rule.Calls, func(call string) bool { return slices.Contains(calls, call) }) {
			rules = append(rules, rule)
		}
	}
	return rules
}

// families are the constants of socket(2) that the policy names.
var families = map[uint64]string{
	unix.AF_UNIX: "AF_UNIX", unix.AF_INET: "AF_INET", unix.AF_INET6: "AF_INET6", unix.AF_NETLINK: "AF_NETLINK", unix.AF_PACKET: "AF_PACKET",
}

// Condition is the text of a rule's conditions.
func Condition(rule seccomp.Rule) string {
	var all []string
	for _, c := range rule.If {
		value, mask := fmt.Sprintf("%#x", c.Value), ""
		if c.Mask != 1<<32-1 {
			mask = fmt.Sprintf(" & %#x", c.Mask)
		}
		if family, ok := families[c.Value]; ok && slices.Contains(rule.Calls, "socket") {
			value = family
		}
		op := map[seccomp.Op]string{seccomp.Equal: "="}[c.Op]
		all = append(all, fmt.Sprintf("argument %d%s %s %s", c.Arg, mask, op, value))
	}
	if all == nil {
		return "otherwise"
	}
	return strings.Join(all, ", ")
}

// otherCalls are the verdicts on what is no known call.
func (p Promise) otherCalls() Section {
	return Section{
		Title:   OtherCalls,
		Text:    "What a filter of names cannot name.",
		Columns: []string{"entry", "verdict"}, Facts: 2,
		Rows: [][]string{
			{"a number that is no call", Verdict(policy().Unknown)},
			{"x32, on amd64", Verdict(policy().X32)},
			{"another architecture: i386 on amd64, arm on arm64", Verdict(policy().Foreign)},
		},
	}
}
