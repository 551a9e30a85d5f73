package simnode_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestPlantedBugs shows that the oracle sees what it is there to see: each bug is planted at a seam, where it makes the agent act as
// one with that bug would, and has to be caught within a few seeds.
func TestPlantedBugs(t *testing.T) {
	const seeds = 40
	for name, plant := range bugs {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(seeds) {
				if _, wrong := simulate(t, seed+1, 40, plant); wrong != nil {
					t.Logf("seed %d: %v", seed+1, wrong)
					return
				}
			}
			t.Errorf("not caught in %d seeds", seeds)
		})
	}
}

// bugs change a simulation so that its agent has a bug.
var bugs = map[string]func(*simulation){
	"a live field replaces": planted(func(n reconcile.Node) reconcile.Node {
		return observer{n, func(in spec.Instance) (spec.Instance, bool) {
			if in.Spec.Metadata.Labels != nil && in.ID < 3 {
				in.Hash = "of labels, too"
			}
			return in, true
		}}
	}),
	"a process not seen does not run": planted(func(n reconcile.Node) reconcile.Node {
		return observer{n, func(in spec.Instance) (spec.Instance, bool) { return in, in.Phase != spec.InstancePaused }}
	}),
	"a finished job is started again": planted(func(n reconcile.Node) reconcile.Node {
		return observer{n, func(in spec.Instance) (spec.Instance, bool) {
			if in.Exit != nil {
				exit := *in.Exit
				exit.Reason = spec.ExitStopped
				in.Exit = &exit
			}
			return in, true
		}}
	}),
	"destroyed without being stopped": planted(func(n reconcile.Node) reconcile.Node { return impatient{n} }),
	"limits are not written":          planted(func(n reconcile.Node) reconcile.Node { return idle{n} }),
	"a pause is forgotten":            planted(func(n reconcile.Node) reconcile.Node { return restless{n} }),
	"an unreadable source is an empty one": func(s *simulation) {
		s.blinded = func(source reconcile.Source) reconcile.Source { return careless{source} }
	},
}

func planted(variant func(reconcile.Node) reconcile.Node) func(*simulation) {
	return func(s *simulation) { s.variant = variant }
}

// observer shows instances otherwise than they are, or not at all.
type observer struct {
	reconcile.Node
	show func(spec.Instance) (spec.Instance, bool)
}

func (n observer) ObserveOne(ctx context.Context, name string) ([]spec.Instance, error) {
	all, err := n.Node.ObserveOne(ctx, name)
	return n.shown(all), err
}

func (n observer) Observe(ctx context.Context) ([]spec.Instance, error) {
	all, err := n.Node.Observe(ctx)
	return n.shown(all), err
}

func (n observer) shown(all []spec.Instance) (list []spec.Instance) {
	for _, in := range all {
		if in, ok := n.show(in); ok {
			list = append(list, in)
		}
	}
	return list
}

type impatient struct{ reconcile.Node }

func (n impatient) Stop(ctx context.Context, name string, id uint64, _ string, _ time.Duration) error {
	return n.Destroy(ctx, name, id, true)
}

type idle struct{ reconcile.Node }

func (idle) Update(context.Context, spec.Container, uint64) error { return nil }

type restless struct{ reconcile.Node }

func (restless) Pause(context.Context, string, uint64) error { return nil }

type careless struct{ reconcile.Source }

func (s careless) Scan(ctx context.Context, all bool) reconcile.Snapshot {
	snapshot := s.Source.Scan(ctx, all)
	if snapshot.Err != nil {
		snapshot.Err, snapshot.Revision = nil, "empty"
	}
	return snapshot
}
