package oci

import (
	"math"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// seccompFields are those of linux.seccomp.
var seccompFields = []Field{
	{"linux.seccomp", "security.seccomp", func(t *translator) error {
		t.s.Security.Seccomp = spec.SeccompUnconfined
		if t.config.Linux.Seccomp == nil {
			return nil
		}
		t.s.Security.Seccomp = spec.SeccompByProfile
		var err error
		t.s.Security.SeccompProfile, err = profile(t.config.Linux.Seccomp)
		return err
	}},
	{"linux.seccomp.defaultAction", "security.seccompProfile.defaultAction", nil},
	{"linux.seccomp.defaultErrnoRet", "security.seccompProfile.defaultErrnoRet", nil},
	{"linux.seccomp.architectures", "security.seccompProfile.architectures", nil},
	{"linux.seccomp.flags", "security.seccompProfile.flags", nil},
	{"linux.seccomp.listenerPath", "security.seccompProfile.listenerPath", nil},
	{"linux.seccomp.listenerMetadata", "security.seccompProfile.listenerMetadata", nil},
	{"linux.seccomp.syscalls", "security.seccompProfile.syscalls", nil},
	{"linux.seccomp.syscalls[].names", "security.seccompProfile.syscalls.names", nil},
	{"linux.seccomp.syscalls[].action", "security.seccompProfile.syscalls.action", nil},
	{"linux.seccomp.syscalls[].errnoRet", "security.seccompProfile.syscalls.errnoRet", nil},
	{"linux.seccomp.syscalls[].args", "security.seccompProfile.syscalls.args", nil},
	{"linux.seccomp.syscalls[].args[].index", "security.seccompProfile.syscalls.args.index", nil},
	{"linux.seccomp.syscalls[].args[].value", "security.seccompProfile.syscalls.args.value", nil},
	{"linux.seccomp.syscalls[].args[].valueTwo", "security.seccompProfile.syscalls.args.valueTwo", nil},
	{"linux.seccomp.syscalls[].args[].op", "security.seccompProfile.syscalls.args.op", nil},
}

func profile(said *specs.LinuxSeccomp) (p spec.SeccompProfile, err error) {
	p = spec.SeccompProfile{DefaultAction: spec.SeccompAction(said.DefaultAction), ListenerPath: said.ListenerPath, ListenerMetadata: said.ListenerMetadata}
	if p.DefaultErrnoRet, err = errnoRet(said.DefaultErrnoRet); err != nil {
		return p, err
	}
	for _, arch := range said.Architectures {
		p.Architectures = append(p.Architectures, spec.SeccompArch(arch))
	}
	for _, flag := range said.Flags {
		p.Flags = append(p.Flags, spec.SeccompFlag(flag))
	}
	for _, s := range said.Syscalls {
		rule := spec.SeccompRule{Names: s.Names, Action: spec.SeccompAction(s.Action)}
		if rule.ErrnoRet, err = errnoRet(s.ErrnoRet); err != nil {
			return p, err
		}
		for _, a := range s.Args {
			if a.Index > math.MaxUint32 {
				return p, invalid("argument %d of %v", a.Index, s.Names)
			}
			rule.Args = append(rule.Args, spec.SeccompArg{Index: uint32(a.Index), Value: a.Value, ValueTwo: a.ValueTwo, Op: spec.SeccompOp(a.Op)})
		}
		p.Syscalls = append(p.Syscalls, rule)
	}
	return p, nil
}

func errnoRet(said *uint) (spec.ErrnoRet, error) {
	switch {
	case said == nil:
		return 0, nil
	case *said > math.MaxUint16:
		return 0, invalid("errnoRet %d is out of range", *said)
	}
	return spec.NewErrnoRet(uint16(*said)), nil
}
