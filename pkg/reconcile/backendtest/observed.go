package backendtest

import (
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// usage is the statistics of instance 1, which must say whose they are.
func (s *suite) usage(name string) spec.Stats {
	s.Helper()
	stats, err := s.Node.Stats(s.ctx, name, 1)
	s.must(err)
	if stats.Name != name || stats.Instance != 1 || stats.Time.IsZero() || stats.CPU == nil {
		s.Fatalf("got %+v", stats)
	}
	return stats
}

// stats checks that counters grow while something runs, and are kept when it has ended.
func (s *suite) stats() {
	c := s.container("web", heeding)
	s.create(c)
	if created := s.usage("web"); created.Pids != nil && created.Pids.Current != 0 || created.Network != nil {
		s.Errorf("before the first start: %+v", created)
	}
	s.must(s.Node.Start(s.ctx, "web", 1))
	s.Heard(s.T, "web")
	first := s.usage("web")
	if first.Pids != nil && first.Pids.Current == 0 || first.Memory != nil && first.Memory.Current == 0 {
		s.Errorf("running: tasks %+v, memory %+v", first.Pids, first.Memory)
	}
	for deadline := time.Now().Add(s.Patience); ; time.Sleep(5 * time.Millisecond) {
		if s.usage("web").CPU.UsageUsec > first.CPU.UsageUsec {
			break
		}
		if time.Now().After(deadline) {
			s.Fatalf("processor time stays %+v", first.CPU)
		}
	}
	s.must(s.Node.Kill(s.ctx, "web", 1, "SIGKILL"))
	s.exit("web")
	for deadline := time.Now().Add(s.Patience); ; time.Sleep(5 * time.Millisecond) { // an exit is recorded before it is reaped
		ended := s.usage("web")
		if ended.Pids == nil || ended.Pids.Current == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("ended: %+v", ended.Pids)
		}
	}
}

// processes checks that process 1 is listed while there is one, with both its numbers.
func (s *suite) processes() {
	s.create(s.container("web", heeding))
	list := func() []spec.Process {
		all, err := s.Node.Processes(s.ctx, "web", 1)
		s.must(err)
		return all
	}
	if all := list(); len(all) != 0 {
		s.Errorf("created: %+v", all)
	}
	s.must(s.Node.Start(s.ctx, "web", 1))
	s.Heard(s.T, "web")
	in := s.look("web", 1)
	found := false
	for _, p := range list() {
		if p.Pid == in.Pid {
			found = p.ContainerPid == 1 && p.Comm != "" && p.State != "" && len(p.Command) == 3
		}
	}
	if !found {
		s.Errorf("no process %d, 1 inside, among %+v", in.Pid, list())
	}
	s.must(s.Node.Pause(s.ctx, "web", 1))
	if all := list(); len(all) == 0 {
		s.Error("paused processes are not listed")
	}
	s.must(s.Node.Kill(s.ctx, "web", 1, "SIGKILL"))
	s.exit("web")
	if all := list(); len(all) != 0 {
		s.Errorf("ended: %+v", all)
	}
}
