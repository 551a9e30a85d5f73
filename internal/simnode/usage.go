package simnode

import (
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// stats is what an instance uses: all the time there is, and a page.
func (m *Machine) stats(name string, id uint64) (spec.Stats, error) {
	in, err := m.usable(name, id)
	if err != nil {
		return spec.Stats{}, err
	}
	s := spec.Stats{
		Name: name, Instance: id, Time: time.Now().Round(0),
		CPU: &spec.CPUStats{}, Pids: &spec.PidsStats{Max: in.Resources.Pids.Max},
		Memory: &spec.MemoryStats{Max: in.Resources.Memory.Max, Events: spec.MemoryEvents{OOMKill: in.OOMKills}},
	}
	if live(in) {
		s.CPU.UsageUsec = uint64(time.Since(in.StartedAt).Microseconds())
		s.Memory.Current, s.Pids.Current = 4096, 1
	}
	return s, nil
}

// processes is process 1, if it runs.
func (m *Machine) processes(name string, id uint64) ([]spec.Process, error) {
	in, err := m.usable(name, id)
	if err != nil || !live(in) {
		return nil, err
	}
	return []spec.Process{{
		Pid: in.Pid, ContainerPid: 1, PPid: 1, State: "S", StartedAt: in.StartedAt, Threads: 1, RSS: 4096,
		Comm: "sh", Command: in.Spec.Spec.Command,
	}}, nil
}
