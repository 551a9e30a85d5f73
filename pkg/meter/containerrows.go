package meter

import (
	"math"

	"github.com/seed31d4122e/reconciler/pkg/metric"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// sample is what there is of one container. Stats is empty for one without an instance.
type sample struct {
	object *spec.Object
	*spec.Stats
}

// containerRow is a family with a figure for each container.
type containerRow struct {
	metric.Family
	// of is the figure, none where there is none.
	of func(sample) float64
	// single tells that a sum of them means nothing.
	single bool
}

// none stands for a figure that a container does not have.
var none = math.NaN()

func perContainer(name string, t metric.Type, help string, of func(sample) float64) containerRow {
	return containerRow{Family: metric.Family{Name: "reconciler_container_" + name, Type: t, Help: help, Labels: []string{"name"}}, of: of}
}

// singly is perContainer of what cannot be added up.
func singly(name, help string, of func(sample) float64) containerRow {
	r := perContainer(name, gauge, help, of)
	r.single = true
	return r
}

// The parts of statistics that a node may not keep.
func ofCPU(of func(*spec.CPUStats) float64) func(sample) float64 {
	return func(s sample) float64 { return part(s.CPU, of) }
}

func ofMemory(of func(*spec.MemoryStats) float64) func(sample) float64 {
	return func(s sample) float64 { return part(s.Memory, of) }
}

func ofPids(of func(*spec.PidsStats) float64) func(sample) float64 {
	return func(s sample) float64 { return part(s.Pids, of) }
}

func ofPressure(of func(*spec.PressureStats) float64) func(sample) float64 {
	return func(s sample) float64 { return part(s.Pressure, of) }
}

func part[T any](p *T, of func(*T) float64) float64 {
	if p == nil {
		return none
	}
	return of(p)
}

// ofDevices adds up over block devices.
func ofDevices(of func(spec.DeviceStats) uint64) func(sample) float64 {
	return func(s sample) float64 { return sum(s.IO, of) }
}

// ofInterfaces adds up over the interfaces but the loopback.
func ofInterfaces(of func(spec.InterfaceStats) uint64) func(sample) float64 {
	return func(s sample) float64 {
		return sum(s.Network, func(i spec.InterfaceStats) uint64 {
			if i.Name == "lo" {
				return 0
			}
			return of(i)
		})
	}
}

// sum adds up; none for no rows.
func sum[T any](list []T, of func(T) uint64) float64 {
	if len(list) == 0 {
		return none
	}
	total := uint64(0)
	for _, one := range list {
		total += of(one)
	}
	return float64(total)
}

// limit is a limit in numbers; none for no limit.
func limit(l spec.Limit) float64 {
	if l.IsZero() || l.IsMax() {
		return none
	}
	return float64(l.Value())
}

// containerRows are all families of single containers.
var containerRows = []containerRow{
	singly("ready", "Whether a container is ready.", func(s sample) float64 { return oneIf(s.object.Status.Container.Ready) }),
	perContainer("restarts_total", counter, "Restarts of a container's process.", func(s sample) float64 { return float64(s.object.Status.Container.RestartCount) }),
	singly("last_exit_code", "The code of a container's latest exit, 128 and the signal for one by a signal.", func(s sample) float64 {
		exit := s.object.Status.Container.LastExit
		if exit == nil || exit.Code < 0 {
			return none
		}
		return float64(exit.Code)
	}),
	singly("start_time_seconds", "When a container's process started.", func(s sample) float64 {
		if at := s.object.Status.Container.StartedAt; !at.IsZero() {
			return seconds(at)
		}
		return none
	}),
	perContainer("oom_kills_total", counter, "Processes killed for want of memory.", func(s sample) float64 { return float64(s.object.Status.Container.OOMKills) }),

	perContainer("cpu_usage_seconds_total", counter, "Processor time used.", ofCPU(func(c *spec.CPUStats) float64 { return usec(c.UsageUsec) })),
	perContainer("cpu_throttled_seconds_total", counter, "Time held back by cpu.max.", ofCPU(func(c *spec.CPUStats) float64 { return usec(c.ThrottledUsec) })),
	perContainer("memory_usage_bytes", gauge, "Memory in use, files included: memory.current.", ofMemory(func(m *spec.MemoryStats) float64 { return float64(m.Current) })),
	perContainer("memory_working_set_bytes", gauge, "Memory in use that could not be given back at once.", ofMemory(func(m *spec.MemoryStats) float64 { return float64(m.WorkingSet()) })),
	singly("memory_limit_bytes", "The limit of memory: memory.max. Absent without one.", ofMemory(func(m *spec.MemoryStats) float64 { return limit(m.Max) })),
	perContainer("memory_limit_hits_total", counter, "How often memory.max was met.", ofMemory(func(m *spec.MemoryStats) float64 { return float64(m.Events.Max) })),
	perContainer("tasks", gauge, "Processes and threads: pids.current.", ofPids(func(p *spec.PidsStats) float64 { return float64(p.Current) })),
	perContainer("io_read_bytes_total", counter, "Bytes read from block devices.", ofDevices(func(d spec.DeviceStats) uint64 { return d.RBytes })),
	perContainer("io_written_bytes_total", counter, "Bytes written to block devices.", ofDevices(func(d spec.DeviceStats) uint64 { return d.WBytes })),
	perContainer("network_receive_bytes_total", counter, "Bytes received, the loopback left out; absent in the node's own network.", ofInterfaces(func(i spec.InterfaceStats) uint64 { return i.RxBytes })),
	perContainer("network_transmit_bytes_total", counter, "Bytes sent, the loopback left out; absent in the node's own network.", ofInterfaces(func(i spec.InterfaceStats) uint64 { return i.TxBytes })),
	perContainer("pressure_cpu_waiting_seconds_total", counter, "Time in which some task waited for a processor.", ofPressure(func(p *spec.PressureStats) float64 { return usec(p.CPU.Some.TotalUsec) })),
	perContainer("pressure_memory_waiting_seconds_total", counter, "Time in which some task waited for memory.", ofPressure(func(p *spec.PressureStats) float64 { return usec(p.Memory.Some.TotalUsec) })),
	perContainer("pressure_memory_stalled_seconds_total", counter, "Time in which all tasks waited for memory.", ofPressure(func(p *spec.PressureStats) float64 { return usec(p.Memory.Full.TotalUsec) })),
	perContainer("pressure_io_waiting_seconds_total", counter, "Time in which some task waited for input or output.", ofPressure(func(p *spec.PressureStats) float64 { return usec(p.IO.Some.TotalUsec) })),
	perContainer("pressure_io_stalled_seconds_total", counter, "Time in which all tasks waited for input or output.", ofPressure(func(p *spec.PressureStats) float64 { return usec(p.IO.Full.TotalUsec) })),
}

// Families are all there are, in the order in which they are shown.
func Families() (all []metric.Family) {
	for _, r := range rows {
		all = append(all, r.Family)
	}
	for _, r := range containerRows {
		all = append(all, r.Family)
	}
	return all
}
