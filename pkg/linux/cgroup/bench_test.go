package cgroup_test

import (
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The cgroup side of a container's life: made, limited, opened for the start, removed.
func BenchmarkLife(b *testing.B) {
	p := kerneltest.Cgroups(b)
	said := spec.Resources{CPU: spec.CPU{Weight: 50}, Pids: spec.Pids{Max: spec.NewLimit(100)}, Memory: spec.Memory{Max: spec.NewLimit(64 * mebi)}}
	for b.Loop() {
		g, err := p.Group("web", 1)
		if err == nil {
			err = g.Create()
		}
		if err == nil {
			err = g.Set(said)
		}
		if err == nil {
			err = g.Remove(b.Context())
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
