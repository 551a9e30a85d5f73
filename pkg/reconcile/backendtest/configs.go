package backendtest

import (
	"errors"
	"io/fs"
	"reflect"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// using is a container that uses a config.
func (s *suite) using(name, script string) spec.Container {
	c := s.container(name, script)
	c.Spec.Configs = []spec.ConfigUse{{Name: "conf", Path: "/conf", Env: true}}
	return c
}

// projection is what a container of using gets of a config with one value.
func projection(value string) spec.Projection {
	return spec.ConfigUse{Name: "conf", Path: "/conf", Env: true}.Project(spec.Contents{
		Env: map[string]string{"VALUE": value}, Files: map[string][]byte{"value": []byte(value)},
	})
}

// configs are given, repeated, seen by a start, and seen when somebody says so.
func (s *suite) configs() {
	c := s.using("web", heeding)
	s.create(c)
	if err := s.Node.Start(s.ctx, "web", 1); !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("a start without a config: %v, want fs.ErrNotExist", err)
	}
	one, two := projection("one"), projection("two")
	give := func(p spec.Projection) { s.Helper(); s.must(s.Node.Configure(s.ctx, "web", 1, []spec.Projection{p})) }
	state := func(when, written, seen string) {
		s.Helper()
		if got := s.look("web", 1).Configs["conf"]; got.Written != written || got.Seen != seen || !reflect.DeepEqual(got.Keys, map[string]string{"env.VALUE": got.Keys["env.VALUE"], "files.value": got.Keys["files.value"]}) {
			s.Errorf("%s: got %+v", when, got)
		}
	}
	if got := s.look("web", 1).Configs; got != nil {
		s.Errorf("before it is given: %+v", got)
	}
	give(one)
	state("given", one.Hash, "")
	before := s.look("web", 1)
	give(one)
	if after := s.look("web", 1); !reflect.DeepEqual(before, after) {
		s.Errorf("given again: %+v became %+v", before, after)
	}
	s.must(s.Node.Start(s.ctx, "web", 1))
	s.Heard(s.T, "web")
	state("started", one.Hash, one.Hash)
	give(two)
	state("another", two.Hash, one.Hash)
	give(spec.Projection{Name: "conf", Hash: one.Hash, Seen: true, Noted: true})
	state("what is not written cannot be seen", two.Hash, one.Hash)
	give(spec.Projection{Name: "conf", Hash: two.Hash, Seen: true, Noted: true})
	state("noted", two.Hash, two.Hash)
	one.Seen = true
	give(one)
	state("given as seen", one.Hash, one.Hash)
	if in := s.look("web", 1); in.Starts != 1 || in.Phase != spec.InstanceRunning {
		s.Errorf("configs touched the process: %+v", in)
	}
	give(two)
	s.must(s.Node.Stop(s.ctx, "web", 1, "SIGTERM", s.Patience))
	s.exit("web")
	s.must(s.Node.Start(s.ctx, "web", 1))
	s.Heard(s.T, "web")
	state("started again", two.Hash, two.Hash)
	other := two
	other.Name = "other"
	if err := s.Node.Configure(s.ctx, "web", 1, []spec.Projection{other}); !errors.Is(err, fs.ErrInvalid) {
		s.Errorf("a config that it does not use: %v, want fs.ErrInvalid", err)
	}
	s.must(s.Node.Update(s.ctx, c, 1))
	state("updated", two.Hash, two.Hash)
}
