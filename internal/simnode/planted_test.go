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
	const seeds = 60
	for name, plant := range bugs {
		t.Run(name, func(t *testing.T) {
			if seed, _, wrong := (campaign{1, seeds, 80}).play(t, plant); wrong == nil {
				t.Errorf("not caught in %d seeds", seeds)
			} else {
				t.Logf("seed %d: %v", seed, wrong)
			}
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
	"destroyed without being stopped":           planted(func(n reconcile.Node) reconcile.Node { return impatient{n} }),
	"limits are not written":                    planted(func(n reconcile.Node) reconcile.Node { return idle{n} }),
	"a pause is forgotten":                      planted(func(n reconcile.Node) reconcile.Node { return restless{n} }),
	"what was to end with its image runs on":    planted(func(n reconcile.Node) reconcile.Node { return uncut{n} }),
	"an image ends what was to run on":          planted(func(n reconcile.Node) reconcile.Node { return cut{n} }),
	"every image is taken for one that fits":    planted(func(n reconcile.Node) reconcile.Node { return undiscerning{n} }),
	"images go before the next instance":        planted(func(n reconcile.Node) reconcile.Node { return wasteful{n} }),
	"the image that something ended in is lost": planted(func(n reconcile.Node) reconcile.Node { return forgetful{n} }),
	"what was to start begins from an image":    planted(func(n reconcile.Node) reconcile.Node { return nostalgic{n} }),
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
		snapshot.Err, snapshot.Hash = nil, "empty"
	}
	return snapshot
}

type uncut struct{ reconcile.Node }

func (n uncut) Checkpoint(ctx context.Context, name string, id uint64, o spec.CheckpointOptions) (spec.Image, error) {
	o.Stop = false
	return n.Node.Checkpoint(ctx, name, id, o)
}

type cut struct{ reconcile.Node }

func (n cut) Checkpoint(ctx context.Context, name string, id uint64, o spec.CheckpointOptions) (spec.Image, error) {
	o.Stop = true
	return n.Node.Checkpoint(ctx, name, id, o)
}

type undiscerning struct{ reconcile.Node }

func (n undiscerning) Images(ctx context.Context, name string) ([]spec.Image, error) {
	all, err := n.Node.Images(ctx, name)
	instances, _ := n.Node.ObserveOne(ctx, name)
	for i := range all {
		if len(instances) > 0 {
			all[i].Hash, all[i].Defaults = instances[len(instances)-1].Hash, instances[len(instances)-1].Defaults
		}
	}
	return all, err
}

type wasteful struct{ reconcile.Node }

func (n wasteful) Create(ctx context.Context, c spec.Container, id uint64, defaults int) error {
	if err := n.Destroy(ctx, c.Metadata.Name, id, false); err != nil {
		return err
	}
	return n.Node.Create(ctx, c, id, defaults)
}

type forgetful struct{ reconcile.Node }

func (n forgetful) Checkpoint(ctx context.Context, name string, id uint64, o spec.CheckpointOptions) (spec.Image, error) {
	i, err := n.Node.Checkpoint(ctx, name, id, o)
	if err == nil && o.Stop {
		err = n.RemoveImage(ctx, i.Ref())
	}
	return i, err
}

type nostalgic struct{ reconcile.Node }

func (n nostalgic) Start(ctx context.Context, name string, id uint64) error {
	all, err := n.Images(ctx, name)
	if err != nil || len(all) == 0 || n.Restore(ctx, name, id, all[len(all)-1].Ref()) != nil {
		return n.Node.Start(ctx, name, id)
	}
	return nil
}
