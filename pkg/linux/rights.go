package linux

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Rights are the most that a container's processes may have, whatever an image says.
type Rights struct {
	// Bounding is the set of capabilities, by bit.
	Bounding uint64
	// NoNewPrivs tells that none of them can gain privileges; Filter is the program of the seccomp filter, as the kernel has it (struct sock_filter), nil for none.
	NoNewPrivs bool
	Filter     []byte
	// UIDs and GIDs are the ids of the user namespace; none without one.
	UIDs, GIDs []spec.IDMapping
	// OOMScoreAdj is the lowest adjustment, Rlimits are the highest hard limits, by number; one that is missing may be any.
	OOMScoreAdj int
	Rlimits     map[int]uint64
	// Realtime tells that they may be scheduled before others.
	Realtime bool
	// Label is the AppArmor profile or SELinux label, "" for none and for the profile unconfined.
	Label string
}

// rights are those of a start.
func rights(plan start.Plan, s spec.ContainerSpec) Rights {
	a := plan.Attribute
	r := Rights{
		Bounding: uint64(a.Capabilities.Bounding), NoNewPrivs: !a.NewPrivs, Filter: programOf(a.Seccomp.Filter),
		UIDs: plan.Mount.IDs.UIDs, GIDs: plan.Mount.IDs.GIDs, OOMScoreAdj: min(s.OOMScoreAdj.Value(), 0), Rlimits: map[int]uint64{},
		Realtime: s.Scheduler.Policy == spec.SchedulerFIFO || s.Scheduler.Policy == spec.SchedulerRR || s.Scheduler.Policy == spec.SchedulerDeadline || s.Scheduler.Nice < 0,
	}
	for _, l := range a.Rlimits {
		r.Rlimits[l.Resource] = l.Hard
	}
	if _, said := s.Rlimits[spec.RlimitNames[unix.RLIMIT_SIGPENDING]]; !said {
		delete(r.Rlimits, unix.RLIMIT_SIGPENDING) // it is what the memory of the node allows, and another node may have less
	}
	r.Label = attribute.LabelOf(a.Labels)
	return r
}

// programOf is a filter as the kernel has it, see linux/filter.h.
func programOf(filter seccomp.Filter) (program []byte) {
	for _, in := range filter {
		program = binary.NativeEndian.AppendUint16(program, in.Code)
		program = append(program, in.Jt, in.Jf)
		program = binary.NativeEndian.AppendUint32(program, in.K)
	}
	return program
}
