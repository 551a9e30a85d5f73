package simnode

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Configure gives it configs.
func (n *Node) Configure(ctx context.Context, name string, id uint64, list []spec.Projection) error {
	return n.do(ctx, "Configure", name, func() error { return n.machine.configure(name, id, list) })
}

func (m *Machine) configure(name string, id uint64, list []spec.Projection) error {
	in, err := m.usable(name, id)
	if err != nil {
		return err
	}
	for _, p := range list {
		if !slices.ContainsFunc(in.Spec.Spec.Configs, func(u spec.ConfigUse) bool { return u.Name == p.Name }) {
			return fmt.Errorf("instance %d of %q does not use config %s: %w", id, name, p.Name, fs.ErrInvalid)
		}
	}
	if slices.ContainsFunc(list, func(p spec.Projection) bool { return !p.Noted && in.Configs[p.Name].Written != p.Hash }) {
		m.judge("Configure", name, id)
	}
	configs := map[string]spec.ConfigState{}
	maps.Copy(configs, in.Configs) // others hold the old one
	for _, p := range list {
		if configs[p.Name] = p.Note(configs[p.Name]); !p.Noted {
			m.given[in] = append(m.given[in], p)
		}
	}
	in.Configs = configs
	return nil
}

// configured is an error for a config that an instance uses and was never given; else all that is written is seen from now on.
func (m *Machine) configured(in *instance) error {
	configs := map[string]spec.ConfigState{}
	for _, use := range in.Spec.Spec.Configs {
		state, ok := in.Configs[use.Name]
		if !ok {
			return fmt.Errorf("instance %d of %q was not given config %s: %w", in.ID, in.Name, use.Name, fs.ErrNotExist)
		}
		state.Seen = state.Written
		configs[use.Name] = state
	}
	if len(configs) > 0 {
		in.Configs = configs
	}
	return nil
}

// Holds is what the newest instance of a name has of a config: a variable, or a file; "" for none.
func (m *Machine) Holds(name, config, key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.instances[name]
	if len(all) == 0 {
		return ""
	}
	given := m.given[all[len(all)-1]]
	for _, p := range slices.Backward(given) {
		if p.Name == config {
			return p.Env[key] + string(p.Files[key])
		}
	}
	return ""
}
