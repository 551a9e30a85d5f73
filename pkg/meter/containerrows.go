package meter

import (
	"math"

	"github.com/seed31d4122e/reconciler/pkg/metric"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The figures of one container.
const (
	ready = iota
	restarts
	exitCode
	startTime
	oomKills
	cpuUsage
	cpuThrottled
	memoryUsage
	memoryWorkingSet
	memoryLimit
	memoryLimitHits
	tasks
	ioRead
	ioWritten
	networkReceived
	networkSent
	cpuWaiting
	memoryWaiting
	memoryStalled
	ioWaiting
	ioStalled
	allFigures
)

// figures are those of one container, none where there is none.
type figures [allFigures]float64

// none stands for a figure that a container does not have.
var none = math.NaN()

// containerRows are the families of single containers, with the label name.
var containerRows = [allFigures]struct {
	name string
	is   metric.Type
	help string
	// single tells that a sum of them means nothing.
	single bool
}{
	ready:            {"ready", gauge, "Whether a container is ready.", true},
	restarts:         {"restarts_total", counter, "Restarts of a container's process.", false},
	exitCode:         {"last_exit_code", gauge, "The code of a container's latest exit, 128 and the signal for one by a signal.", true},
	startTime:        {"start_time_seconds", gauge, "When a container's process started.", true},
	oomKills:         {"oom_kills_total", counter, "Processes killed for want of memory.", false},
	cpuUsage:         {"cpu_usage_seconds_total", counter, "Processor time used.", false},
	cpuThrottled:     {"cpu_throttled_seconds_total", counter, "Time held back by cpu.max.", false},
	memoryUsage:      {"memory_usage_bytes", gauge, "Memory in use, files included: memory.current.", false},
	memoryWorkingSet: {"memory_working_set_bytes", gauge, "Memory in use that could not be given back at once.", false},
	memoryLimit:      {"memory_limit_bytes", gauge, "The limit of memory, memory.max; absent without one.", true},
	memoryLimitHits:  {"memory_limit_hits_total", counter, "How often memory.max was met.", false},
	tasks:            {"tasks", gauge, "Processes and threads: pids.current.", false},
	ioRead:           {"io_read_bytes_total", counter, "Bytes read from block devices.", false},
	ioWritten:        {"io_written_bytes_total", counter, "Bytes written to block devices.", false},
	networkReceived:  {"network_receive_bytes_total", counter, "Bytes received, the loopback left out; absent in the node's own network.", false},
	networkSent:      {"network_transmit_bytes_total", counter, "Bytes sent, the loopback left out; absent in the node's own network.", false},
	cpuWaiting:       {"pressure_cpu_waiting_seconds_total", counter, "Time in which some task waited for a processor.", false},
	memoryWaiting:    {"pressure_memory_waiting_seconds_total", counter, "Time in which some task waited for memory.", false},
	memoryStalled:    {"pressure_memory_stalled_seconds_total", counter, "Time in which all tasks waited for memory.", false},
	ioWaiting:        {"pressure_io_waiting_seconds_total", counter, "Time in which some task waited for input or output.", false},
	ioStalled:        {"pressure_io_stalled_seconds_total", counter, "Time in which all tasks waited for input or output.", false},
}

// figuresOf are a container's, with what it uses; a part that is not known has none.
func figuresOf(o *spec.Object, s spec.Stats) (f figures) {
	for i := range f {
		f[i] = none
	}
	c := &o.Status.Container
	f[ready], f[restarts], f[oomKills] = oneIf(c.Ready), float64(c.RestartCount), float64(c.OOMKills)
	if c.LastExit != nil && c.LastExit.Code >= 0 {
		f[exitCode] = float64(c.LastExit.Code)
	}
	if !c.StartedAt.IsZero() {
		f[startTime] = seconds(c.StartedAt)
	}
	if cpu := s.CPU; cpu != nil {
		f[cpuUsage], f[cpuThrottled] = usec(cpu.UsageUsec), usec(cpu.ThrottledUsec)
	}
	if m := s.Memory; m != nil {
		f[memoryUsage], f[memoryWorkingSet], f[memoryLimitHits] = float64(m.Current), float64(m.WorkingSet()), float64(m.Events.Max)
		if !m.Max.IsZero() && !m.Max.IsMax() {
			f[memoryLimit] = float64(m.Max.Value())
		}
	}
	if s.Pids != nil {
		f[tasks] = float64(s.Pids.Current)
	}
	if p := s.Pressure; p != nil {
		f[cpuWaiting] = usec(p.CPU.Some.TotalUsec)
		f[memoryWaiting], f[memoryStalled] = usec(p.Memory.Some.TotalUsec), usec(p.Memory.Full.TotalUsec)
		f[ioWaiting], f[ioStalled] = usec(p.IO.Some.TotalUsec), usec(p.IO.Full.TotalUsec)
	}
	f.addUp(s)
	return f
}

// addUp adds up what is counted by device and interface.
func (f *figures) addUp(s spec.Stats) {
	add := func(i int, n uint64) {
		if math.IsNaN(f[i]) {
			f[i] = 0
		}
		f[i] += float64(n)
	}
	for _, d := range s.IO {
		add(ioRead, d.RBytes)
		add(ioWritten, d.WBytes)
	}
	for _, n := range s.Network {
		if n.Name != "lo" {
			add(networkReceived, n.RxBytes)
			add(networkSent, n.TxBytes)
		}
	}
}
