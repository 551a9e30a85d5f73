package oci

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Features says what this runtime can do, as features.md of the specification has it. What a node lacks is in it as well.
func Features(annotations map[string]string) features.Features {
	yes, no := true, false
	f := features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		MountOptions:  mount.Words(),
		Annotations:   annotations,
		Linux: &features.Linux{
			Namespaces: []string{"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"},
			Cgroup:     &features.Cgroup{V1: &yes, V2: &yes, Systemd: &yes, SystemdUser: &no, Rdma: &yes},
			Seccomp:    &features.Seccomp{Enabled: &yes},
			Apparmor:   &features.Apparmor{Enabled: &yes},
			Selinux:    &features.Selinux{Enabled: &yes},
			IntelRdt:   &features.IntelRdt{Enabled: &no},
			MemoryPolicy: &features.MemoryPolicy{
				Modes: []string{"MPOL_BIND", "MPOL_DEFAULT", "MPOL_INTERLEAVE", "MPOL_LOCAL", "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE"},
				Flags: []string{"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"},
			},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &yes}},
			NetDevices:      &features.NetDevices{Enabled: &no},
		},
	}
	for _, kind := range new(Translation).kinds() {
		f.Hooks = append(f.Hooks, kind.name)
	}
	for _, name := range spec.CapabilityNames {
		f.Linux.Capabilities = append(f.Linux.Capabilities, "CAP_"+name)
	}
	s := f.Linux.Seccomp
	for _, a := range spec.SeccompActions {
		s.Actions = append(s.Actions, string(a))
	}
	for _, o := range spec.SeccompOps {
		s.Operators = append(s.Operators, string(o))
	}
	for _, a := range spec.SeccompArchs {
		s.Archs = append(s.Archs, string(a))
	}
	for _, flag := range spec.SeccompFlags {
		s.KnownFlags = append(s.KnownFlags, string(flag))
		if flag == spec.SeccompWaitKillableRecv && feature.SeccompWaitKillable.Probe() != nil {
			continue
		}
		s.SupportedFlags = append(s.SupportedFlags, string(flag))
	}
	return f
}
