package simnode_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

var configNames = []string{"x", "z"}

// use lets a container use configs.
func (s *simulation) use(c *spec.Container) {
	for _, name := range configNames {
		if s.r.IntN(2) == 0 {
			c.Spec.Configs = append(c.Spec.Configs, spec.ConfigUse{
				Name: name, Env: s.r.IntN(2) == 0, Path: "/" + name, OnChange: []spec.OnChange{"", spec.OnChangeSignal, spec.OnChangeIgnore}[s.r.IntN(3)],
			})
		}
	}
}

// config changes a config, or removes it.
func (s *simulation) config(string) {
	name := configNames[s.r.IntN(len(configNames))]
	if s.r.IntN(6) == 0 {
		s.say("remove config %s", name)
		s.oracle.AsksConfig(name, nil)
		s.folder.Remove("config-" + name + ".yaml")
		return
	}
	value := fmt.Sprint(s.r.IntN(3))
	s.say("config %s %s", name, value)
	s.oracle.AsksConfig(name, &spec.Contents{Env: map[string]string{"V": value}, Files: map[string][]byte{"v": []byte(value)}})
	s.folder.Put("config-"+name+".yaml", fmt.Sprintf(
		"apiVersion: reconciler/v1alpha1\nkind: Config\nmetadata: {name: %s}\nspec: {env: {V: %q}, files: {v: {text: %q}}}\n", name, value, value))
}

// withConfigs is a script in which every third deed is one about a config; the last of them come after a calm, and have to be seen without any other deed.
func withConfigs(seed uint64, steps int) []deed {
	script := compose(seed, steps)
	for i := range script {
		if i%3 == 0 {
			script[i].Do = "config"
		}
	}
	calm := deed{Do: "calm", Name: "a"}
	return append(script, calm, deed{"config", "a", seed, time.Minute}, deed{"config", "a", seed + 1, time.Minute}, calm)
}

// TestSimulationConfigs plays seeds with configs that come, change and go.
func TestSimulationConfigs(t *testing.T) {
	for seed := uint64(1); seed <= 60; seed++ {
		if log, wrong := simulate(t, seed, withConfigs(seed, 80), func(s *simulation) { s.uses = true }); wrong != nil {
			t.Fatalf("seed %d: %v\n%s", seed, wrong, strings.Join(log[max(0, len(log)-lastLines):], "\n"))
		}
	}
}

// The oracle sees a signal that is never sent, and a config that is taken for seen.
func TestPlantedConfigBugs(t *testing.T) {
	for name, planted := range map[string]func(*simulation){
		"what is written is taken for seen": planted(func(n reconcile.Node) reconcile.Node {
			return observer{n, func(in spec.Instance) (spec.Instance, bool) {
				configs := map[string]spec.ConfigState{}
				for name, state := range in.Configs {
					state.Seen = state.Written
					configs[name] = state
				}
				in.Configs = configs
				return in, true
			}}
		}),
		"what is seen is taken for written": planted(func(n reconcile.Node) reconcile.Node {
			return observer{n, func(in spec.Instance) (spec.Instance, bool) {
				if len(in.Configs) > 0 && in.ID == 1 {
					in.Configs = map[string]spec.ConfigState{"x": {Written: "x", Seen: "y"}}
				}
				return in, true
			}}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				if _, wrong := simulate(t, seed+1, withConfigs(seed+1, 40), func(s *simulation) { s.uses = true; planted(s) }); wrong != nil {
					t.Logf("seed %d: %v", seed+1, wrong)
					return
				}
			}
			t.Error("not caught in 20 seeds")
		})
	}
}
