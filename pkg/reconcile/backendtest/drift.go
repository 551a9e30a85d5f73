package backendtest

import "reflect"

// undrifted checks that nothing is found of what is as its start made it, whether it runs or not, and that a repair of nothing changes nothing.
func (s *suite) undrifted() {
	c := s.container("web", heeding)
	nothing := func(when string) {
		s.Helper()
		drifts, err := s.Node.Drift(s.ctx, "web", 1)
		s.must(err)
		if len(drifts) != 0 {
			s.Errorf("%s: %v", when, drifts)
		}
	}
	s.create(c)
	nothing("created")
	s.must(s.Node.Start(s.ctx, "web", 1))
	s.Heard(s.T, "web")
	nothing("running")
	before := s.look("web", 1)
	s.must(s.Node.Repair(s.ctx, "web", 1, "hostname", "cgroup", "no such field"))
	if after := s.look("web", 1); !reflect.DeepEqual(before, after) {
		s.Errorf("a repair of nothing changed\n%+v to\n%+v", before, after)
	}
	s.must(s.Node.Pause(s.ctx, "web", 1))
	nothing("paused")
	s.must(s.Node.Resume(s.ctx, "web", 1))
	s.must(s.Node.Kill(s.ctx, "web", 1, "SIGKILL"))
	s.exit("web")
	nothing("ended")
}
