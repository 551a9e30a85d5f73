package reconcile

import (
	"maps"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// shortHash is how much of a hash people see.
const shortHash = 12

// configStatus is what to show of the configs that a container uses.
func (w *world) configStatus(in spec.Instance) (list []spec.ConfigStatus) {
	for _, use := range w.wanted.Spec.Configs {
		state, known := in.Configs[use.Name], w.Configs[use.Name]
		c := spec.ConfigStatus{Name: use.Name, Found: known.Contents != nil, Sensitive: state.Sensitive, Keys: state.Keys}
		newest := state.Written
		if known.Contents != nil {
			p := known.project(use)
			c.Sensitive, c.Keys, newest = p.Sensitive, p.Keys, p.Hash
		}
		if c.Sensitive {
			c.Keys = nil
		} else {
			c.Hash = newest[:min(len(newest), shortHash)]
		}
		c.Seen = live(in) && newest != "" && state.Written == newest && state.Seen == newest
		list = append(list, c)
	}
	return list
}

// predictConfigs changes what an instance has of its configs as an action is expected to.
func predictConfigs(in *spec.Instance, a Action) {
	if len(in.Configs) == 0 && len(a.Configs) == 0 {
		return
	}
	configs := map[string]spec.ConfigState{}
	maps.Copy(configs, in.Configs)
	for _, p := range a.Configs {
		configs[p.Name] = p.Note(configs[p.Name])
	}
	if a.Verb == VerbStart || a.Verb == VerbRestore {
		for name, state := range configs {
			state.Seen = state.Written
			configs[name] = state
		}
	}
	in.Configs = configs
}
