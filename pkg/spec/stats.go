package spec

import "time"

// Stats is what an instance uses and has used, in the kernel's words and units: counters grow until the instance is destroyed, and
// two samples make a rate. A part that this node does not count is nil or empty.
type Stats struct {
	Name     string `json:"name"`
	Instance uint64 `json:"instance"`
	// Time is when the counters were read.
	Time time.Time `json:"time"`

	CPU    *CPUStats    `json:"cpu,omitempty"`
	Memory *MemoryStats `json:"memory,omitempty"`
	Pids   *PidsStats   `json:"pids,omitempty"`
	// IO has a row for each block device that was used.
	IO []DeviceStats `json:"io,omitempty"`
	// Hugetlb has a row for each size of huge pages.
	Hugetlb []HugetlbStats `json:"hugetlb,omitempty"`
	// Network has the interfaces of the container's network; none where that is the node's own.
	Network []InterfaceStats `json:"network,omitempty"`
	// Pressure is the time lost to waiting; nil where the kernel keeps none.
	Pressure *PressureStats `json:"pressure,omitempty"`
}

// CPUStats is the file cpu.stat: processor time in microseconds.
type CPUStats struct {
	UsageUsec  uint64 `json:"usageUsec"`
	UserUsec   uint64 `json:"userUsec"`
	SystemUsec uint64 `json:"systemUsec"`
	// NrPeriods are the periods of cpu.max in which there was something to run, NrThrottled those in which it was held back, and
	// ThrottledUsec for how long.
	NrPeriods     uint64 `json:"nrPeriods"`
	NrThrottled   uint64 `json:"nrThrottled"`
	ThrottledUsec uint64 `json:"throttledUsec"`
	// NrBursts are the periods that took more than their quota from what was saved before, and BurstUsec how much.
	NrBursts  uint64 `json:"nrBursts"`
	BurstUsec uint64 `json:"burstUsec"`
}

// MemoryStats are the files memory.current, memory.stat, memory.events and their like, in bytes. On cgroup v1 a count that it
// does not keep is 0.
type MemoryStats struct {
	Current uint64 `json:"current"`
	Peak    uint64 `json:"peak"`
	// Max is the limit as the kernel has it.
	Max         Limit  `json:"max,omitzero"`
	SwapCurrent uint64 `json:"swapCurrent"`
	SwapMax     Limit  `json:"swapMax,omitzero"`

	Anon          uint64 `json:"anon"`
	File          uint64 `json:"file"`
	Kernel        uint64 `json:"kernel"`
	Slab          uint64 `json:"slab"`
	Sock          uint64 `json:"sock"`
	Shmem         uint64 `json:"shmem"`
	FileMapped    uint64 `json:"fileMapped"`
	FileDirty     uint64 `json:"fileDirty"`
	FileWriteback uint64 `json:"fileWriteback"`
	InactiveFile  uint64 `json:"inactiveFile"`
	Pgfault       uint64 `json:"pgfault"`
	Pgmajfault    uint64 `json:"pgmajfault"`

	Events MemoryEvents `json:"events"`
}

// WorkingSet is the memory that could not be given back at once: what is in use without the files not used lately.
func (m MemoryStats) WorkingSet() uint64 { return m.Current - min(m.InactiveFile, m.Current) }

// MemoryEvents is the file memory.events: how often a limit was met, in the container and in cgroups of its own making. cgroup v1
// knows Max and OOMKill only.
type MemoryEvents struct {
	Low          uint64 `json:"low"`
	High         uint64 `json:"high"`
	Max          uint64 `json:"max"`
	OOM          uint64 `json:"oom"`
	OOMKill      uint64 `json:"oomKill"`
	OOMGroupKill uint64 `json:"oomGroupKill"`
}

// PidsStats are the files pids.current and their like: tasks, which are processes and threads.
type PidsStats struct {
	Current uint64 `json:"current"`
	Peak    uint64 `json:"peak"` // 0 before Linux 6.1
	Max     Limit  `json:"max,omitzero"`
}

// DeviceStats is a line of io.stat: bytes and requests of one block device, read, written and discarded.
type DeviceStats struct {
	Device string `json:"device"`         // MAJOR:MINOR
	Name   string `json:"name,omitempty"` // below /dev, where there is one: vda
	RBytes uint64 `json:"rbytes"`
	WBytes uint64 `json:"wbytes"`
	RIOs   uint64 `json:"rios"`
	WIOs   uint64 `json:"wios"`
	DBytes uint64 `json:"dbytes"`
	DIOs   uint64 `json:"dios"`
}

// HugetlbStats are the files hugetlb.SIZE.current and their like, in bytes. Peak is known on cgroup v1 only.
type HugetlbStats struct {
	Size    string `json:"size"` // 2MB
	Current uint64 `json:"current"`
	Peak    uint64 `json:"peak,omitempty"`
	Max     Limit  `json:"max,omitzero"`
	// Failures is how often the limit was met.
	Failures uint64 `json:"failures"`
}

// InterfaceStats is a line of /proc/PID/net/dev.
type InterfaceStats struct {
	Name      string `json:"name"`
	RxBytes   uint64 `json:"rxBytes"`
	RxPackets uint64 `json:"rxPackets"`
	RxErrors  uint64 `json:"rxErrors"`
	RxDropped uint64 `json:"rxDropped"`
	TxBytes   uint64 `json:"txBytes"`
	TxPackets uint64 `json:"txPackets"`
	TxErrors  uint64 `json:"txErrors"`
	TxDropped uint64 `json:"txDropped"`
}

// PressureStats are the files cpu.pressure, memory.pressure and io.pressure (Documentation/accounting/psi.rst).
type PressureStats struct {
	CPU    PSI `json:"cpu"`
	Memory PSI `json:"memory"`
	IO     PSI `json:"io"`
}

// PSI is one pressure file: the share of time in which some tasks were delayed, or all of them at once.
type PSI struct {
	Some PSILine `json:"some"`
	Full PSILine `json:"full"`
}

// PSILine is a share in percent, over three spans of seconds, and the whole time lost.
type PSILine struct {
	Avg10     float64 `json:"avg10"`
	Avg60     float64 `json:"avg60"`
	Avg300    float64 `json:"avg300"`
	TotalUsec uint64  `json:"totalUsec"`
}
