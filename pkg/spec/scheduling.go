package spec

import "slices"

// Scheduler says how the kernel shares processors, as sched_setattr(2) has it.
type Scheduler struct {
	// Policy is OTHER (default), BATCH, IDLE, FIFO, RR or DEADLINE. FIFO and RR need a share of real time, cpu.rt_runtime_us, where the cpu controller is of cgroup v1.
	Policy SchedulerPolicy `json:"policy,omitzero" class:"replace"`
	// Nice weighs the container's processes with OTHER and BATCH, from -20 (most) to 19. Default 0.
	Nice int `json:"nice,omitzero" class:"replace" min:"-20" max:"19"`
	// Priority is that of FIFO and RR, from 1 to 99 (highest).
	Priority int `json:"priority,omitzero" class:"replace" min:"0" max:"99"`
	// Flags are RESET_ON_FORK, RECLAIM, DL_OVERRUN, KEEP_POLICY, KEEP_PARAMS, UTIL_CLAMP_MIN and UTIL_CLAMP_MAX. A process with DEADLINE can only make others with RESET_ON_FORK.
	Flags []string `json:"flags,omitzero" class:"replace" format:"schedulerFlag"`
	// Runtime is what DEADLINE gives in each period.
	Runtime Duration `json:"runtime,omitzero" class:"replace"`
	// Deadline is when DEADLINE has given it, counted from the beginning of a period.
	Deadline Duration `json:"deadline,omitzero" class:"replace"`
	// Period is the period of DEADLINE. Default: the deadline.
	Period Duration `json:"period,omitzero" class:"replace"`
	// UtilMin is the least utilisation, of 1024, that the processor's speed is chosen for.
	UtilMin int `json:"utilMin,omitzero" class:"replace" min:"0" max:"1024"`
	// UtilMax is the highest.
	UtilMax int `json:"utilMax,omitzero" class:"replace" min:"0" max:"1024"`
}

// SchedulerPolicy names a scheduling policy: SCHED_* of sched(7).
type SchedulerPolicy string

// The scheduling policies.
const (
	SchedulerOther    SchedulerPolicy = "OTHER"
	SchedulerBatch    SchedulerPolicy = "BATCH"
	SchedulerIdle     SchedulerPolicy = "IDLE"
	SchedulerFIFO     SchedulerPolicy = "FIFO"
	SchedulerRR       SchedulerPolicy = "RR"
	SchedulerDeadline SchedulerPolicy = "DEADLINE"
)

// SchedulerFlags are the words of Scheduler.Flags: SCHED_FLAG_* of linux/sched.h, each at the index of its bit.
var SchedulerFlags = []string{"RESET_ON_FORK", "RECLAIM", "DL_OVERRUN", "KEEP_POLICY", "KEEP_PARAMS", "UTIL_CLAMP_MIN", "UTIL_CLAMP_MAX"}

// IsZero tells that nothing is said.
func (s Scheduler) IsZero() bool {
	return s.Policy == "" && s.Nice == 0 && s.Priority == 0 && len(s.Flags) == 0 && s.Runtime == 0 && s.Deadline == 0 && s.Period == 0 &&
		s.UtilMin == 0 && s.UtilMax == 0
}

// RealTime tells a policy that has priorities.
func (p SchedulerPolicy) RealTime() bool { return p == SchedulerFIFO || p == SchedulerRR }

// Check tells which fields the policy does not have or lacks.
func (s Scheduler) Check() error { return asOne(s.check()) }

func (s Scheduler) check() (key string, err error) {
	realTime, deadline := s.Policy.RealTime(), s.Policy == SchedulerDeadline
	switch {
	case s.Nice != 0 && (realTime || deadline):
		return "nice", faultf("the policy %s has no nice value", s.Policy)
	case s.Priority != 0 && !realTime:
		return "priority", faultf("only the policies FIFO and RR have priorities")
	case s.Priority == 0 && realTime:
		return "policy", fault{string(s.Policy) + " needs a priority", "add priority: 1, or up to 99"}
	case s.UtilMax != 0 && s.UtilMin > s.UtilMax:
		return "utilMin", faultf("%d is more than utilMax, %d", s.UtilMin, s.UtilMax)
	case deadline && (s.Runtime == 0 || s.Deadline == 0):
		return "policy", fault{"DEADLINE needs runtime and deadline", "say for example runtime: 10ms, deadline: 100ms"}
	case deadline && s.Runtime > s.Deadline:
		return "runtime", faultf("%s is more than deadline, %s", s.Runtime, s.Deadline)
	case deadline && s.Period != 0 && s.Deadline > s.Period:
		return "deadline", faultf("%s is more than period, %s", s.Deadline, s.Period)
	}
	for _, own := range []struct {
		key   string
		value Duration
	}{{"runtime", s.Runtime}, {"deadline", s.Deadline}, {"period", s.Period}} {
		if own.value != 0 && !deadline {
			return own.key, faultf("only the policy DEADLINE has it")
		}
	}
	return "", nil
}

// IOPriority is a class and a priority in it.
type IOPriority struct {
	// Class is RT (first of all), BE (shared by priority) or IDLE (what the others leave).
	Class IOClass `json:"class,omitzero" class:"replace"`
	// Priority is that of RT and BE, from 0 (highest) to 7.
	Priority int `json:"priority,omitzero" class:"replace" min:"0" max:"7"`
}

// IOClass names a class of input and output: IOPRIO_CLASS_* of linux/ioprio.h.
type IOClass string

// The classes of input and output.
const (
	IOClassBE   IOClass = "BE"
	IOClassRT   IOClass = "RT"
	IOClassIdle IOClass = "IDLE"
)

// Check tells whether the class has the priority.
func (p IOPriority) Check() error { return asOne(p.check()) }

func (p IOPriority) check() (key string, err error) {
	switch {
	case p.Priority != 0 && p.Class == "":
		return "priority", fault{"a priority is one of a class", "add class: BE"}
	case p.Priority != 0 && p.Class == IOClassIdle:
		return "priority", faultf("the class IDLE has no priorities")
	}
	return "", nil
}

// CPUAffinity are lists of processors such as "0-3,8".
type CPUAffinity struct {
	// Initial is where the start itself runs, until the command is executed. Default: where the agent runs.
	Initial string `json:"initial,omitzero" class:"replace" format:"cpuList"`
	// Final is where the command runs. Default: every processor of its cpuset.
	Final string `json:"final,omitzero" class:"replace" format:"cpuList"`
}

// MemoryPolicy is a policy with the memory nodes it is about.
type MemoryPolicy struct {
	// Mode is DEFAULT (the node nearest to the processor; default), BIND, INTERLEAVE, WEIGHTED_INTERLEAVE, PREFERRED, PREFERRED_MANY or LOCAL.
	Mode MemoryMode `json:"mode,omitzero" class:"replace"`
	// Nodes are the memory nodes as a list such as "0-1".
	Nodes string `json:"nodes,omitzero" class:"replace" format:"cpuList"`
	// Flags are NUMA_BALANCING, RELATIVE_NODES and STATIC_NODES.
	Flags []string `json:"flags,omitzero" class:"replace" format:"memoryFlag"`
}

// MemoryMode names a memory policy: MPOL_* of linux/mempolicy.h.
type MemoryMode string

// The memory policies.
const (
	MemoryDefault            MemoryMode = "DEFAULT"
	MemoryBind               MemoryMode = "BIND"
	MemoryInterleave         MemoryMode = "INTERLEAVE"
	MemoryWeightedInterleave MemoryMode = "WEIGHTED_INTERLEAVE"
	MemoryPreferred          MemoryMode = "PREFERRED"
	MemoryPreferredMany      MemoryMode = "PREFERRED_MANY"
	MemoryLocal              MemoryMode = "LOCAL"
)

// MemoryFlags are the words of MemoryPolicy.Flags: MPOL_F_* of linux/mempolicy.h.
var MemoryFlags = []string{"NUMA_BALANCING", "RELATIVE_NODES", "STATIC_NODES"}

// Check tells which fields the mode does not have or lacks.
func (p MemoryPolicy) Check() error { return asOne(p.check()) }

func (p MemoryPolicy) check() (key string, err error) {
	lacks := []MemoryMode{"", MemoryDefault, MemoryLocal}
	needs := []MemoryMode{MemoryBind, MemoryInterleave, MemoryWeightedInterleave, MemoryPreferredMany}
	switch {
	case p.Nodes != "" && slices.Contains(lacks, p.Mode):
		return "nodes", fault{"the mode has no nodes", "say which mode, for example BIND"}
	case p.Nodes == "" && slices.Contains(needs, p.Mode):
		return "mode", fault{string(p.Mode) + " needs nodes", `add nodes: "0"`}
	case slices.Contains(p.Flags, "RELATIVE_NODES") && slices.Contains(p.Flags, "STATIC_NODES"):
		return "flags", faultf("RELATIVE_NODES and STATIC_NODES exclude each other")
	case len(p.Flags) > 0 && p.Nodes == "":
		return "flags", faultf("flags say how nodes are meant, and there are none")
	}
	return "", nil
}

// Personality is an execution domain.
type Personality struct {
	// Domain is LINUX (default) or LINUX32, which shows programs a 32-bit machine.
	Domain PersonalityDomain `json:"domain,omitzero" class:"replace"`
	// Flags are ADDR_NO_RANDOMIZE, ADDR_COMPAT_LAYOUT, ADDR_LIMIT_3GB, ADDR_LIMIT_32BIT, MMAP_PAGE_ZERO, READ_IMPLIES_EXEC, SHORT_INODE, STICKY_TIMEOUTS, UNAME26 and WHOLE_SECONDS.
	Flags []string `json:"flags,omitzero" class:"replace" format:"personalityFlag"`
}

// PersonalityDomain names an execution domain: PER_* of linux/personality.h.
type PersonalityDomain string

// The execution domains.
const (
	PersonalityLinux   PersonalityDomain = "LINUX"
	PersonalityLinux32 PersonalityDomain = "LINUX32"
)

// PersonalityFlags are the words of Personality.Flags and their bits, as in linux/personality.h.
var PersonalityFlags = map[string]uint64{
	"UNAME26": 0x0020000, "ADDR_NO_RANDOMIZE": 0x0040000, "MMAP_PAGE_ZERO": 0x0100000, "ADDR_COMPAT_LAYOUT": 0x0200000, "READ_IMPLIES_EXEC": 0x0400000,
	"ADDR_LIMIT_32BIT": 0x0800000, "SHORT_INODE": 0x1000000, "WHOLE_SECONDS": 0x2000000, "STICKY_TIMEOUTS": 0x4000000, "ADDR_LIMIT_3GB": 0x8000000,
}
