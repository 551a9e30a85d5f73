package simnode

import (
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// AsksConfig tells the oracle what a config holds from now on; nil is that there is none.
func (o *Oracle) AsksConfig(name string, c *spec.Contents) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.configs == nil {
		o.configs = map[string]*spec.Contents{}
	}
	o.configs[name] = c
}

// unseen tells whether a process has not seen what its instance was given of a config, of which it has to be told so.
func unseen(in spec.Instance, how ...spec.OnChange) bool {
	return slices.ContainsFunc(in.Spec.Spec.Configs, func(u spec.ConfigUse) bool {
		state := in.Configs[u.Name]
		return slices.Contains(how, u.OnChange) && state.Seen != state.Written
	})
}

// withoutChange are uses of configs without what can change while an instance lives.
func withoutChange(list []spec.ConfigUse) []spec.ConfigUse {
	list = slices.Clone(list)
	for i := range list {
		list[i].OnChange, list[i].Signal = "", ""
	}
	return list
}

// lacks tells whether a container uses a config that nobody asks for and that the instance which is as asked for was never given: it waits.
func (o *Oracle) lacks(want *spec.Container, instances []spec.Instance) bool {
	if want == nil {
		return false
	}
	return slices.ContainsFunc(want.Spec.Configs, func(u spec.ConfigUse) bool {
		return o.configs[u.Name] == nil && !slices.ContainsFunc(instances, func(in spec.Instance) bool {
			return sameFrozen(*want, in.Spec) && in.Configs[u.Name].Written != ""
		})
	})
}

// ungiven says what a process that runs was not given, or has not seen, of the configs that are asked for.
func (o *Oracle) ungiven(want *spec.Container, instances []spec.Instance) string {
	if want == nil || len(instances) != 1 || instances[0].Phase != spec.InstanceRunning || want.Spec.State != "" {
		return ""
	}
	for _, u := range want.Spec.Configs {
		if o.configs[u.Name] == nil {
			continue
		}
		state, hash := instances[0].Configs[u.Name], u.Project(*o.configs[u.Name]).Hash
		switch {
		case state.Written != hash:
			return "does not have config " + u.Name
		case state.Seen != hash && (state.Seen != "" || u.OnChange == spec.OnChangeSignal):
			return "has not seen config " + u.Name
		}
	}
	return ""
}
