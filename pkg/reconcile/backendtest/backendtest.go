// Package backendtest holds a reconcile.Node to the laws that its interface states, so that a node in memory and one on a kernel
// cannot drift apart. It knows the laws; it refuses to know how a node keeps them.
package backendtest

import (
	"context"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Backend is a fresh node under test and what the suite has to know of it.
type Backend struct {
	Node reconcile.Node
	// Rootfs is a directory with a busybox that containers can have as their root.
	Rootfs string
	// Heard waits until the process of a container has written "up": then its traps are set.
	Heard func(t *testing.T, name string)
	// Images tells that the node takes and restores images.
	Images bool
	// Patience is how long to wait for what has to come. Default 30s.
	Patience time.Duration
}

// The scripts of the suite, for /bin/sh of busybox. A node in memory has to understand them by their looks.
const (
	heeding = "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done"
	defiant = "trap ':' TERM; echo up; while :; do sleep 0.05; done"
	deaf    = "echo up; exec sleep 1000" // a shell that forks would block signals for moments
	serving = "httpd -p 8080; echo up; exec sleep 1000"
	code7   = "exit 7"
	code0   = "exit 0"
)

// Run checks every law against a backend of its own, as open gives it; open cleans up at the end of the test it is given.
func Run(t *testing.T, open func(t *testing.T) Backend) {
	begin := func(t *testing.T) *suite {
		b := open(t)
		if b.Patience == 0 {
			b.Patience = 30 * time.Second
		}
		return &suite{T: t, Backend: b, ctx: t.Context()}
	}
	for _, law := range laws {
		t.Run(law.name, func(t *testing.T) { law.check(begin(t)) })
	}
	t.Run("images", func(t *testing.T) {
		if s := begin(t); !s.Images {
			s.withoutImages()
			return
		}
		for _, law := range images {
			t.Run(law.name, func(t *testing.T) { law.check(begin(t)) })
		}
	})
}

// suite is one law being checked.
type suite struct {
	*testing.T
	Backend
	ctx context.Context
}

// container is a container that runs a script.
func (s *suite) container(name, script string) spec.Container {
	c := spec.Container{APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: name}}
	c.Spec.Rootfs.Path = s.Rootfs
	c.Spec.Command = []string{"/bin/sh", "-c", script}
	return c
}

// must ends the test on an error.
func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// create creates instance 1.
func (s *suite) create(c spec.Container) {
	s.Helper()
	s.must(s.Node.Create(s.ctx, c, 1, spec.DefaultsVersion))
}

// start creates and starts instance 1, and waits for its "up" if its script says it.
func (s *suite) start(c spec.Container) spec.Instance {
	s.Helper()
	s.create(c)
	s.must(s.Node.Start(s.ctx, c.Metadata.Name, 1))
	if script := c.Spec.Command[2]; script != code0 && script != code7 {
		s.Heard(s.T, c.Metadata.Name)
	}
	return s.look(c.Metadata.Name, 1)
}

// look is an instance as it is.
func (s *suite) look(name string, id uint64) spec.Instance {
	s.Helper()
	all, err := s.Node.ObserveOne(s.ctx, name)
	s.must(err)
	for _, in := range all {
		if in.ID == id {
			return in
		}
	}
	s.Fatalf("no instance %d of %s among %v", id, name, all)
	return spec.Instance{}
}

// count is how many instances a name has.
func (s *suite) count(name string) int {
	s.Helper()
	all, err := s.Node.ObserveOne(s.ctx, name)
	s.must(err)
	return len(all)
}

// await waits for a phase.
func (s *suite) await(name string, phase spec.InstancePhase) spec.Instance {
	s.Helper()
	for deadline := time.Now().Add(s.Patience); ; time.Sleep(5 * time.Millisecond) {
		in := s.look(name, 1)
		if in.Phase == phase {
			return in
		}
		if time.Now().After(deadline) {
			s.Fatalf("%s is %s, not %s: %+v", name, in.Phase, phase, in)
		}
	}
}

// exit waits for the end of instance 1 and gives it.
func (s *suite) exit(name string) spec.Exit {
	s.Helper()
	in := s.await(name, spec.InstanceExited)
	if in.Exit == nil {
		s.Fatal("exited without an exit")
	}
	return *in.Exit
}
