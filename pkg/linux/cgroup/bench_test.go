package cgroup_test

import (
	"errors"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The cgroup side of a container's life: made, limited, opened for the start, removed; without and with device rules.
func BenchmarkLife(b *testing.B) {
	b.Run("devices=no", func(b *testing.B) { life(b, func(*cgroup.Group) error { return nil }) })
	b.Run("devices=yes", func(b *testing.B) {
		life(b, func(g *cgroup.Group) error { return g.SetDevices(spec.DefaultDeviceRules) })
	})
}

func life(b *testing.B, devices func(g *cgroup.Group) error) {
	p := kerneltest.Cgroups(b)
	said := spec.Resources{CPU: spec.CPU{Weight: 50}, Pids: spec.Pids{Max: spec.NewLimit(100)}, Memory: spec.Memory{Max: spec.NewLimit(64 * mebi)}}
	for b.Loop() {
		g, err := p.Group("web", 1)
		if err == nil {
			err = g.Create()
		}
		if err == nil {
			err = devices(g)
		}
		if err == nil {
			err = g.Set(said)
		}
		if err == nil {
			err = open(g)
		}
		if err == nil {
			err = g.Remove(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func open(g *cgroup.Group) error {
	files, err := g.Files()
	for _, f := range files {
		_ = f.Close()
	}
	return err
}

// The same at a path that an engine chose, with a list of devices on hybrid hosts.
func BenchmarkLifeAt(b *testing.B) {
	parent := kerneltest.Parent(b)
	for b.Loop() {
		g, err := cgroup.At(kerneltest.Tree(b), parent+"/c1")
		if err == nil {
			err = errors.Join(g.Create(), g.SetDevices(spec.DefaultDeviceRules), g.Set(spec.Resources{Pids: spec.Pids{Max: spec.NewLimit(100)}}))
		}
		if err == nil {
			err = errors.Join(open(g), g.Remove(b.Context()), g.Close())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// What a rescan costs for each container: its state and the limits it said.
func BenchmarkObserve(b *testing.B) {
	p := kerneltest.Cgroups(b)
	said := spec.Resources{Pids: spec.Pids{Max: spec.NewLimit(100)}, Memory: spec.Memory{Max: spec.NewLimit(64 * mebi)}}
	g, err := p.Group("web", 1)
	if err == nil {
		err = g.Create()
	}
	if err == nil {
		err = g.Set(said)
	}
	for b.Loop() && err == nil {
		if _, err = g.State(); err == nil {
			_, err = g.Get(said)
		}
	}
	if err != nil {
		b.Fatal(err)
	}
}
