package attribute

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// StepScheduler is the step of a start that sets the policy.
const StepScheduler = "set scheduler"

// Scheduler is what sched_setattr(2) sets; the zero value is SCHED_OTHER with nice value 0 and nothing else.
type Scheduler struct {
	Policy   uint32 // SCHED_*
	Flags    uint64 // SCHED_FLAG_*
	Nice     int32  // -20 to 19
	Priority uint32 // 1 to 99 with SCHED_FIFO and SCHED_RR, else 0
	// Runtime, Deadline and Period are nanoseconds.
	Runtime, Deadline, Period uint64
	// UtilMin and UtilMax are the utilisation clamps, where Flags has SCHED_FLAG_UTIL_CLAMP_*.
	UtilMin, UtilMax uint32
}

// policies are the numbers of linux/sched.h.
var policies = map[spec.SchedulerPolicy]uint32{
	spec.SchedulerOther: unix.SCHED_NORMAL, spec.SchedulerBatch: unix.SCHED_BATCH, spec.SchedulerIdle: unix.SCHED_IDLE,
	spec.SchedulerFIFO: unix.SCHED_FIFO, spec.SchedulerRR: unix.SCHED_RR, spec.SchedulerDeadline: unix.SCHED_DEADLINE,
}

// newScheduler is the scheduling that a manifest asks for. What needs a capability that the node's keeper lacks is errors.ErrUnsupported.
func newScheduler(s spec.Scheduler, node capability.Node) (Scheduler, error) {
	if err := s.Check(); err != nil {
		return Scheduler{}, fmt.Errorf("cannot use scheduler: %w: %w", err, fs.ErrInvalid)
	}
	if s.Policy == "" {
		s.Policy = spec.SchedulerOther
	}
	policy, ok := policies[s.Policy]
	if !ok {
		return Scheduler{}, fmt.Errorf("cannot use scheduler policy %q: %w", s.Policy, fs.ErrInvalid)
	}
	flags, err := bits(s.Flags, spec.SchedulerFlags)
	if err != nil {
		return Scheduler{}, fmt.Errorf("cannot use scheduler flags: %w", err)
	}
	if s.UtilMin != 0 {
		flags |= unix.SCHED_FLAG_UTIL_CLAMP_MIN
	}
	if s.UtilMax != 0 {
		flags |= unix.SCHED_FLAG_UTIL_CLAMP_MAX
	}
	if needsNice(s) && !node.Have.Has(unix.CAP_SYS_NICE) {
		return Scheduler{}, fmt.Errorf("cannot set scheduler policy %s with nice value %d: the node's keeper does not hold SYS_NICE: %w", s.Policy, s.Nice, errors.ErrUnsupported)
	}
	return Scheduler{
		Policy: policy, Flags: flags, Nice: int32(s.Nice), Priority: uint32(s.Priority),
		Runtime: uint64(s.Runtime), Deadline: uint64(s.Deadline), Period: uint64(s.Period), UtilMin: uint32(s.UtilMin), UtilMax: uint32(s.UtilMax),
	}, nil
}

// needsNice tells what is more than any process may give itself; see sched(7), "Privileges and resource limits".
func needsNice(s spec.Scheduler) bool {
	return s.Nice < 0 || s.Policy.RealTime() || s.Policy == spec.SchedulerDeadline
}

// bits are the bits of words, which each have that of their index.
func bits(said, words []string) (set uint64, err error) {
	for _, word := range said {
		i := slices.Index(words, word)
		if i < 0 {
			return 0, fmt.Errorf("%q is not one of them: %w", word, fs.ErrInvalid)
		}
		set |= 1 << i
	}
	return set, nil
}

// data is struct sched_attr up to SCHED_ATTR_SIZE_VER1: u32 size, policy, u64 flags, s32 nice, u32 priority, u64 runtime, deadline,
// period, u32 util_min, util_max.
func (s Scheduler) data() process.Arg {
	b := binary.NativeEndian.AppendUint32(nil, unix.SizeofSchedAttr)
	b = binary.NativeEndian.AppendUint32(b, s.Policy)
	b = binary.NativeEndian.AppendUint64(b, s.Flags)
	b = binary.NativeEndian.AppendUint32(b, uint32(s.Nice))
	b = binary.NativeEndian.AppendUint32(b, s.Priority)
	for _, ns := range []uint64{s.Runtime, s.Deadline, s.Period} {
		b = binary.NativeEndian.AppendUint64(b, ns)
	}
	b = binary.NativeEndian.AppendUint32(b, s.UtilMin)
	return process.Data(binary.NativeEndian.AppendUint32(b, s.UtilMax))
}

// setScheduling resets whatever the keeper has and then, in one call, sets what is said.
func setScheduling(p *process.Program, plan Plan) {
	p.Call("reset scheduling", "", unix.SYS_SCHED_SETATTR, process.Int(0), Scheduler{}.data(), process.Int(0))
	resetClamps(p)
	if plan.Scheduler != (Scheduler{}) {
		p.Call(StepScheduler, plan.Scheduler.String(), unix.SYS_SCHED_SETATTR, process.Int(0), plan.Scheduler.data(), process.Int(0))
	}
}

// resetClamps: -1 resets a clamp since Linux 5.11; kernels without CONFIG_UCLAMP_TASK refuse the flag.
func resetClamps(p *process.Program) {
	none := Scheduler{Flags: unix.SCHED_FLAG_KEEP_ALL | unix.SCHED_FLAG_UTIL_CLAMP, UtilMin: ^uint32(0), UtilMax: ^uint32(0)}
	p.Call("reset utilisation clamps", "", unix.SYS_SCHED_SETATTR, process.Int(0), none.data(), process.Int(0)).
		Accept = process.Accept(unix.EOPNOTSUPP, unix.EINVAL)
}

// String is the policy with its parameter, for errors: FIFO, priority 3.
func (s Scheduler) String() string {
	name := "of policy " + fmt.Sprint(s.Policy)
	for word, policy := range policies {
		if policy == s.Policy {
			name = string(word)
		}
	}
	switch {
	case s.Priority != 0:
		return fmt.Sprintf("%s, priority %d", name, s.Priority)
	case s.Deadline != 0:
		return fmt.Sprintf("%s, %d of %d ns", name, s.Runtime, s.Deadline)
	case s.UtilMin|s.UtilMax != 0:
		return fmt.Sprintf("%s, utilisation %d to %d", name, s.UtilMin, s.UtilMax)
	}
	return fmt.Sprintf("%s, nice value %d", name, s.Nice)
}
