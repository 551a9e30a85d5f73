package backendtest

import (
	"context"
	"errors"
	"io/fs"
	"reflect"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

var laws = []struct {
	name  string
	check func(*suite)
}{
	{"unknown names", (*suite).unknown},
	{"every verb may be repeated", (*suite).repeated},
	{"created is not started", (*suite).created},
	{"create refuses another spec", (*suite).otherSpec},
	{"exit codes are exact", (*suite).codes},
	{"a restart stays in its instance", (*suite).restart},
	{"stop does not wait", (*suite).stop},
	{"stop kills at the deadline", (*suite).deadline},
	{"a repeated stop does not prolong", (*suite).prolong},
	{"a signal without a handler kills at once", (*suite).unhandled},
	{"stop thaws", (*suite).stopPaused},
	{"kill arms nothing", (*suite).kill},
	{"pause and resume", (*suite).pause},
	{"limits are read back", (*suite).limits},
	{"update keeps the process", (*suite).update},
	{"update refuses what needs a successor", (*suite).updateReplace},
	{"a successor beside the running one", (*suite).successor},
	{"destroy leaves nothing", (*suite).destroy},
	{"observe shows everything", (*suite).observe},
	{"an exit is hinted at", (*suite).events},
	{"statistics of what runs and what has ended", (*suite).stats},
	{"processes of what runs", (*suite).processes},
	{"connections from inside", (*suite).dial},
	{"configs are given and seen", (*suite).configs},
	{"what just started has not drifted", (*suite).undrifted},
}

// verbs are all verbs on instance 1 of a container.
func (s *suite) verbs(c spec.Container) map[string]func() error {
	name := c.Metadata.Name
	return map[string]func() error{
		reconcile.VerbCreate:    func() error { return s.Node.Create(s.ctx, c, 1, spec.DefaultsVersion) },
		reconcile.VerbStart:     func() error { return s.Node.Start(s.ctx, name, 1) },
		reconcile.VerbStop:      func() error { return s.Node.Stop(s.ctx, name, 1, "SIGTERM", s.Patience) },
		reconcile.VerbKill:      func() error { return s.Node.Kill(s.ctx, name, 1, "SIGKILL") },
		reconcile.VerbUpdate:    func() error { return s.Node.Update(s.ctx, c, 1) },
		reconcile.VerbPause:     func() error { return s.Node.Pause(s.ctx, name, 1) },
		reconcile.VerbResume:    func() error { return s.Node.Resume(s.ctx, name, 1) },
		reconcile.VerbDestroy:   func() error { return s.Node.Destroy(s.ctx, name, 1, false) },
		reconcile.VerbConfigure: func() error { return s.Node.Configure(s.ctx, name, 1, nil) },
		"Stats":                 func() error { _, err := s.Node.Stats(s.ctx, name, 1); return err },
		"Dial":                  func() error { return s.reach(name, "127.0.0.1:8080") },
		"Processes":             func() error { _, err := s.Node.Processes(s.ctx, name, 1); return err },
		"Drift":                 func() error { _, err := s.Node.Drift(s.ctx, name, 1); return err },
		reconcile.VerbRepair:    func() error { return s.Node.Repair(s.ctx, name, 1, "hostname", "cgroup") },
	}
}

func (s *suite) unknown() {
	for verb, do := range s.verbs(s.container("nobody", heeding)) {
		switch err := do(); verb {
		case reconcile.VerbCreate:
			s.must(err)
			s.must(s.Node.Destroy(s.ctx, "nobody", 1, false))
		case reconcile.VerbDestroy:
			s.must(err)
		default:
			if !errors.Is(err, fs.ErrNotExist) {
				s.Errorf("%s of an unknown name: %v, want fs.ErrNotExist", verb, err)
			}
		}
		if n := s.count("nobody"); n != 0 {
			s.Errorf("%s of an unknown name left %d instances", verb, n)
		}
	}
}

func (s *suite) repeated() {
	c := s.container("web", heeding)
	verbs := s.verbs(c)
	for _, verb := range []string{
		reconcile.VerbCreate, reconcile.VerbStart, reconcile.VerbUpdate, reconcile.VerbPause, reconcile.VerbResume,
		reconcile.VerbStop, reconcile.VerbStart, reconcile.VerbKill,
	} {
		s.must(verbs[verb]())
		switch verb {
		case reconcile.VerbStart:
			s.Heard(s.T, "web")
		case reconcile.VerbStop, reconcile.VerbKill:
			s.exit("web")
		}
		before := s.look("web", 1)
		if err := verbs[verb](); err != nil {
			s.Errorf("%s again: %v", verb, err)
		}
		if after := s.look("web", 1); !reflect.DeepEqual(before, after) {
			s.Errorf("%s again changed\n%+v to\n%+v", verb, before, after)
		}
	}
	s.must(verbs[reconcile.VerbDestroy]())
	s.must(verbs[reconcile.VerbDestroy]())
}

func (s *suite) created() {
	c := s.container("web", heeding)
	c.Metadata.Labels = map[string]string{"app": "web"}
	s.create(c)
	in := s.look("web", 1)
	if in.Phase != spec.InstanceCreated || in.Pid != 0 || in.Starts != 0 || in.Exit != nil {
		s.Errorf("got %+v, want Created without a process", in)
	}
	if in.Name != "web" || in.Hash != spec.Identity(c, spec.DefaultsVersion) || in.Defaults != spec.DefaultsVersion || !reflect.DeepEqual(in.Spec, c) {
		s.Errorf("got %+v, which is not what was asked for", in)
	}
}

func (s *suite) otherSpec() {
	s.create(s.container("web", heeding))
	before := s.look("web", 1)
	if err := s.Node.Create(s.ctx, s.container("web", deaf), 1, spec.DefaultsVersion); err == nil {
		s.Error("another spec under the same id was accepted")
	}
	if after := s.look("web", 1); !reflect.DeepEqual(before, after) {
		s.Errorf("it changed %+v to %+v", before, after)
	}
}

func (s *suite) codes() {
	for script, want := range map[string]spec.Exit{
		code0: {Code: 0, Reason: spec.ExitCompleted},
		code7: {Code: 7, Reason: spec.ExitError},
	} {
		name := map[string]string{code0: "zero", code7: "seven"}[script]
		s.start(s.container(name, script))
		exit := s.exit(name)
		if exit.Code != want.Code || exit.Reason != want.Reason || exit.Signal != "" {
			s.Errorf("%s: got %+v, want %+v", script, exit, want)
		}
		if exit.StartedAt.IsZero() || exit.FinishedAt.Before(exit.StartedAt) {
			s.Errorf("%s: it ran from %v to %v", script, exit.StartedAt, exit.FinishedAt)
		}
	}
}

func (s *suite) restart() {
	s.start(s.container("web", code7))
	s.exit("web")
	s.must(s.Node.Start(s.ctx, "web", 1))
	for deadline := time.Now().Add(s.Patience); s.look("web", 1).Starts != 2; {
		if time.Now().After(deadline) {
			s.Fatalf("got %+v, want two starts", s.look("web", 1))
		}
	}
	s.exit("web")
	if n := s.count("web"); n != 1 {
		s.Errorf("%d instances, want 1", n)
	}
}

func (s *suite) stop() {
	s.start(s.container("web", heeding))
	s.must(s.Node.Stop(s.ctx, "web", 1, "SIGTERM", s.Patience))
	if exit := s.exit("web"); exit.Code != 3 || exit.Reason != spec.ExitStopped {
		s.Errorf("got %+v, want code 3, Stopped", exit)
	}
	if in := s.look("web", 1); !in.Stopping.IsZero() || in.Pid != 0 {
		s.Errorf("an ended instance still shows %+v", in)
	}
}

func (s *suite) deadline() {
	s.start(s.container("web", defiant))
	s.must(s.Node.Stop(s.ctx, "web", 1, "SIGTERM", 300*time.Millisecond))
	if in := s.look("web", 1); in.Phase == spec.InstanceRunning && (in.Stopping.IsZero() || in.Stopping.Deadline.IsZero()) {
		s.Errorf("a stop under way is not shown: %+v", in)
	}
	if exit := s.exit("web"); exit.Reason != spec.ExitStopTimeout || exit.Code != 137 || exit.Signal != "SIGKILL" {
		s.Errorf("got %+v, want SIGKILL, StopTimeout", exit)
	}
}

func (s *suite) prolong() {
	s.start(s.container("web", defiant))
	s.must(s.Node.Stop(s.ctx, "web", 1, "SIGTERM", time.Hour))
	far := s.look("web", 1).Stopping.Deadline
	s.must(s.Node.Stop(s.ctx, "web", 1, "SIGTERM", 2*time.Hour))
	if got := s.look("web", 1).Stopping.Deadline; !got.Equal(far) {
		s.Errorf("the deadline moved from %v to %v", far, got)
	}
	s.must(s.Node.Stop(s.ctx, "web", 1, "SIGTERM", 100*time.Millisecond))
	if exit := s.exit("web"); exit.Reason != spec.ExitStopTimeout {
		s.Errorf("got %+v, want StopTimeout", exit)
	}
}

func (s *suite) unhandled() {
	s.start(s.container("web", deaf))
	s.must(s.Node.Stop(s.ctx, "web", 1, "SIGTERM", time.Hour))
	if exit := s.exit("web"); exit.Reason != spec.ExitStopSignalUnhandled {
		s.Errorf("got %+v, want StopSignalUnhandled", exit)
	}
}

func (s *suite) stopPaused() {
	s.start(s.container("web", heeding))
	s.must(s.Node.Pause(s.ctx, "web", 1))
	s.must(s.Node.Stop(s.ctx, "web", 1, "SIGTERM", s.Patience))
	if exit := s.exit("web"); exit.Code != 3 {
		s.Errorf("got %+v, want code 3", exit)
	}
}

func (s *suite) kill() {
	s.start(s.container("web", defiant))
	s.must(s.Node.Kill(s.ctx, "web", 1, "SIGTERM"))
	if in := s.look("web", 1); in.Phase != spec.InstanceRunning || !in.Stopping.IsZero() {
		s.Errorf("a signal that is caught gave %+v", in)
	}
	s.must(s.Node.Kill(s.ctx, "web", 1, "SIGKILL"))
	if exit := s.exit("web"); exit.Code != 137 || exit.Signal != "SIGKILL" || exit.Reason != spec.ExitKilled {
		s.Errorf("got %+v, want SIGKILL, Killed", exit)
	}
}

func (s *suite) pause() {
	before := s.start(s.container("web", heeding))
	s.must(s.Node.Pause(s.ctx, "web", 1))
	if in := s.look("web", 1); in.Phase != spec.InstancePaused || in.Pid != before.Pid {
		s.Errorf("got %+v, want Paused with the same process", in)
	}
	s.must(s.Node.Resume(s.ctx, "web", 1))
	if in := s.look("web", 1); in.Phase != spec.InstanceRunning || in.Pid != before.Pid {
		s.Errorf("got %+v, want Running with the same process", in)
	}
	s.must(s.Node.Kill(s.ctx, "web", 1, "SIGKILL"))
	s.exit("web")
	if err := s.Node.Pause(s.ctx, "web", 1); !errors.Is(err, fs.ErrInvalid) {
		s.Errorf("pausing what has ended: %v, want fs.ErrInvalid", err)
	}
}

func (s *suite) limits() {
	c := s.container("web", heeding)
	c.Spec.Resources.Memory.Max = spec.NewLimit(64 << 20)
	c.Spec.Resources.Pids.Max = spec.NewLimit(50)
	s.create(c)
	in := s.look("web", 1)
	if !in.Resources.Equal(in.Wanted) || in.Wanted.IsZero() {
		s.Errorf("wanted %+v, got %+v", in.Wanted, in.Resources)
	}
}

func (s *suite) update() {
	c := s.container("web", heeding)
	c.Spec.Resources.Pids.Max = spec.NewLimit(50)
	before := s.start(c)
	c.Spec.Resources.Pids.Max = spec.NewLimit(60)
	c.Metadata.Labels = map[string]string{"app": "web"}
	c.Spec.Stop.Signal = "SIGUSR1"
	s.must(s.Node.Update(s.ctx, c, 1))
	in := s.look("web", 1)
	if in.Pid != before.Pid || in.Starts != before.Starts {
		s.Errorf("the process changed: %+v", in)
	}
	if !reflect.DeepEqual(in.Spec, c) || in.Hash != before.Hash {
		s.Errorf("got spec %+v and hash %s", in.Spec, in.Hash)
	}
	if in.Resources.Pids.Max != spec.NewLimit(60) || !in.Wanted.Equal(in.Resources) {
		s.Errorf("got limits %+v, wanted %+v", in.Resources, in.Wanted)
	}
}

func (s *suite) updateReplace() {
	s.create(s.container("web", heeding))
	if err := s.Node.Update(s.ctx, s.container("web", deaf), 1); !errors.Is(err, fs.ErrInvalid) {
		s.Errorf("got %v, want fs.ErrInvalid", err)
	}
}

func (s *suite) successor() {
	before := s.start(s.container("web", heeding))
	s.must(s.Node.Create(s.ctx, s.container("web", defiant), 2, spec.DefaultsVersion))
	if in := s.look("web", 1); in.Pid != before.Pid || in.Phase != spec.InstanceRunning {
		s.Errorf("creating a successor changed the running one: %+v", in)
	}
	s.must(s.Node.Stop(s.ctx, "web", 1, "SIGTERM", s.Patience))
	s.exit("web")
	s.must(s.Node.Destroy(s.ctx, "web", 1, true))
	s.must(s.Node.Start(s.ctx, "web", 2))
	if in := s.look("web", 2); in.Phase != spec.InstanceRunning {
		s.Errorf("the successor is %+v", in)
	}
	if n := s.count("web"); n != 1 {
		s.Errorf("%d instances, want 1", n)
	}
}

func (s *suite) destroy() {
	s.start(s.container("web", defiant))
	s.must(s.Node.Destroy(s.ctx, "web", 1, false))
	if n := s.count("web"); n != 0 {
		s.Errorf("%d instances are left", n)
	}
	// The id can be taken again.
	s.start(s.container("web", heeding))
}

func (s *suite) observe() {
	s.create(s.container("a", heeding))
	s.create(s.container("b", heeding))
	s.must(s.Node.Create(s.ctx, s.container("b", deaf), 2, spec.DefaultsVersion))
	all, err := s.Node.Observe(s.ctx)
	s.must(err)
	for _, name := range []string{"a", "b"} {
		one, err := s.Node.ObserveOne(s.ctx, name)
		s.must(err)
		var same []spec.Instance
		for _, in := range all {
			if in.Name == name {
				same = append(same, in)
			}
		}
		if !reflect.DeepEqual(one, same) {
			s.Errorf("Observe shows %+v, ObserveOne %+v", same, one)
		}
	}
	if one, err := s.Node.ObserveOne(s.ctx, "nobody"); err != nil || len(one) != 0 {
		s.Errorf("an unknown name: %v, %v", one, err)
	}
}

func (s *suite) events() {
	ctx, cancel := context.WithTimeout(s.ctx, s.Patience)
	defer cancel()
	events, err := s.Node.Events(ctx)
	s.must(err)
	s.create(s.container("web", code7))
	s.must(s.Node.Start(s.ctx, "web", 1))
	for {
		select {
		case e := <-events:
			if e.Name == "web" && e.Kind == spec.EventExit || e.Kind == spec.EventLost {
				return
			}
		case <-ctx.Done():
			s.Fatal("nobody told of the exit")
		}
	}
}
