package reconcile_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// still is a node, and a store, where all runs as it should. It has what a pass asks for that finds that.
type still struct {
	reconcile.Node
	records   map[string]record.Record
	instances map[string]spec.Instance
}

func (s *still) Load() (record.Inventory, error)                       { return record.Inventory{Records: s.records}, nil }
func (*still) Save(record.Record) error                                { return nil }
func (*still) Delete(string) error                                     { return nil }
func (*still) SaveDrain(record.Drain) error                            { return nil }
func (*still) CanRestore(context.Context, spec.Instance, string) error { return nil }

func (s *still) ObserveOne(_ context.Context, name string) ([]spec.Instance, error) {
	return []spec.Instance{s.instances[name]}, nil
}

func (s *still) Configure(_ context.Context, name string, _ uint64, configs []spec.Projection) error {
	in := s.instances[name]
	states := map[string]spec.ConfigState{}
	for _, p := range configs {
		states[p.Name] = p.Note(in.Configs[p.Name])
	}
	in.Configs = states
	s.instances[name] = in
	return nil
}

// add has a container run that was accepted long ago.
func (s *still) add(name string, say func(*spec.ContainerSpec)) {
	c := spec.Container{Metadata: spec.Metadata{Name: name}}
	c.Spec.Rootfs.Path, c.Spec.Command, c.Spec.Restart.Policy = "/srv", []string{"/bin/sleep"}, spec.RestartNever
	say(&c.Spec)
	s.records[name] = record.Record{Name: name, Container: c, Generation: 1, Rollout: record.Rollout{Accepted: epoch, Outcome: spec.RolloutHealthy}}
	s.instances[name] = spec.Instance{
		Name: name, ID: 1, Phase: spec.InstanceRunning, Starts: 1, StartedAt: epoch,
		Spec: c, Defaults: spec.DefaultsVersion, Hash: spec.Identity(c, spec.DefaultsVersion),
	}
}

// turn ends a container's process, or starts it again.
func (s *still) turn(name string) {
	in := s.instances[name]
	if in.Phase == spec.InstanceRunning {
		in.Phase, in.Exit = spec.InstanceExited, &spec.Exit{Reason: spec.ExitCompleted, StartedAt: epoch, FinishedAt: epoch.Add(time.Second)}
	} else {
		in.Phase, in.Exit, in.Starts = spec.InstanceRunning, nil, in.Starts+1
	}
	s.instances[name] = in
}

// someConfig is a source with a config, whose contents are other ones with each version.
func someConfig(b *testing.B, version int) reconcile.Snapshot {
	text := fmt.Sprintf(`{apiVersion: reconciler/v1alpha1, kind: Config, metadata: {name: conf}, spec: {env: {VERSION: "%d"}}}`, version)
	documents, problems := spec.Decode("conf.yaml", []byte(text))
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	return reconcile.Snapshot{Source: "configs", ReadAt: time.Now(), Files: []*reconcile.File{{Path: "conf.yaml", Documents: documents}}}
}

// BenchmarkChange is what one change costs the agent, scan and admission aside, among ever more containers that have nothing to do with it: a container
// alone, one of a group of ten, one that depends on them, and a config that ten use.
func BenchmarkChange(b *testing.B) {
	const few = 10
	for _, others := range []int{100, 1_000, 10_000} {
		s := &still{records: map[string]record.Record{}, instances: map[string]spec.Instance{}}
		for i := range others {
			s.add(fmt.Sprintf("other-%05d", i), func(c *spec.ContainerSpec) { c.Group = fmt.Sprintf("others-%04d", i/few) })
		}
		for i := range few {
			s.add(fmt.Sprintf("member-%d", i), func(c *spec.ContainerSpec) { c.Group = "members" })
			s.add(fmt.Sprintf("user-%d", i), func(c *spec.ContainerSpec) {
				c.Configs = []spec.ConfigUse{{Name: "conf", Env: true, OnChange: spec.OnChangeIgnore}}
			})
		}
		s.add("alone", func(*spec.ContainerSpec) {})
		s.add("dependent", func(c *spec.ContainerSpec) { c.DependsOn = []spec.Dependency{{Name: "members"}} })
		agent, err := reconcile.New(reconcile.Config{Node: s, Store: s})
		if err != nil {
			b.Fatal(err)
		}
		agent.GiveConfigs(someConfig(b, 0))
		for name := range s.instances {
			agent.Pass(name)
		}
		for _, name := range []string{"alone", "member-0", "dependent"} {
			b.Run(fmt.Sprintf("%s/%d", name, others), func(b *testing.B) {
				for b.Loop() {
					s.turn(name)
					agent.Pass(name)
				}
			})
		}
		version := 0
		b.Run(fmt.Sprintf("config/%d", others), func(b *testing.B) {
			for b.Loop() {
				version++
				users := agent.GiveConfigs(someConfig(b, version))
				if len(users) != few {
					b.Fatalf("%d containers use it, want %d", len(users), few)
				}
				for _, name := range users {
					agent.Pass(name)
				}
			}
		})
	}
}
