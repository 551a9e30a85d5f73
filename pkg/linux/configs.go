package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The directory of an instance's configs, and what each has in one of its own: the state, the variables, and the directory that the container sees.
const (
	configsDir  = "config"
	configState = "state.json"
	configEnv   = "env.json"
	configFiles = "files"
)

func configPath(name, part string) string { return filepath.Join(configsDir, name, part) }

// Configure gives an instance configs; see reconcile.Node. The state is written last: what was not written to the end is written again.
func (n *Node) Configure(_ context.Context, name string, id uint64, configs []spec.Projection) (err error) {
	defer func() { err = about("configure", name, err) }()
	in, err := n.known(name, id)
	if err != nil {
		return err
	}
	for _, p := range configs {
		if !slices.ContainsFunc(in.Spec.Spec.Configs, func(u spec.ConfigUse) bool { return u.Name == p.Name }) {
			return fmt.Errorf("instance %d does not use config %s: %w", id, p.Name, fs.ErrInvalid)
		}
	}
	ids, err := n.mappings(spec.Defaulted(in.Spec, in.Defaults))
	if err != nil && in.Spec.Spec.Namespaces.User.Mode != spec.UserJoin { // whose ids are known when the other runs: see Start
		return err
	}
	for _, p := range configs {
		before := in.Configs[p.Name]
		if !p.Noted && before.Written != p.Hash {
			if err := n.giveConfig(name, id, p, ids); err != nil {
				return fmt.Errorf("config %s: %w", p.Name, err)
			}
		}
		if err := n.writeJSON(name, id, configPath(p.Name, configState), p.Note(before)); err != nil {
			return err
		}
	}
	return nil
}

// giveConfig writes what a container gets of a config.
func (n *Node) giveConfig(name string, id uint64, p spec.Projection, ids mount.IDMap) error {
	dir := filepath.Join(n.instanceDir(name, id), configPath(p.Name, configFiles))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	uid, gid, _ := ids.Root()
	files, err := openConfigDir(dir, int(uid), int(gid))
	if err != nil {
		return err
	}
	defer files.Close()
	if err := errors.Join(files.give(0o755), files.replace(p)); err != nil {
		return err
	}
	return n.writeJSON(name, id, configPath(p.Name, configEnv), p.Env)
}

// configsOf is what an instance has of the configs that it uses.
func (n *Node) configsOf(in spec.Instance) (states map[string]spec.ConfigState) {
	for _, use := range in.Spec.Spec.Configs {
		var state spec.ConfigState
		if n.readJSON(in.Name, in.ID, configPath(use.Name, configState), &state) != nil {
			continue
		}
		if states == nil {
			states = map[string]spec.ConfigState{}
		}
		states[use.Name] = state
	}
	return states
}

// withConfigs is a defaulted container with what an instance of it has of its configs: directories among its mounts, variables in its environment.
// fs.ErrNotExist for one that it was not given.
func (n *Node) withConfigs(c spec.Container, in spec.Instance) (spec.Container, error) {
	for _, use := range c.Spec.Configs {
		if _, ok := in.Configs[use.Name]; !ok {
			return c, fmt.Errorf("config %s was not given to instance %d: %w\nhint: Configure gives it", use.Name, in.ID, fs.ErrNotExist)
		}
	}
	c.Spec.Mounts = configMounts(c.Spec, func(name string) string {
		return filepath.Join(n.instanceDir(in.Name, in.ID), configPath(name, configFiles))
	})
	var err error
	c.Spec.Env, err = n.configEnv(c.Spec, in)
	return c, err
}

// configMounts are a container's mounts with those of its configs at the end.
func configMounts(s spec.ContainerSpec, source func(name string) string) []spec.Mount {
	mounts := slices.Clip(s.Mounts)
	for _, use := range s.Configs {
		if use.Path != "" {
			mounts = append(mounts, spec.Mount{
				Type: spec.MountBind, Source: source(use.Name), Destination: use.Path, Options: []string{"ro", "nosuid", "nodev", "noexec", "rprivate"},
			})
		}
	}
	return mounts
}

// configEnv is a container's environment with that of its configs: what the manifest says wins, then the later config.
func (n *Node) configEnv(s spec.ContainerSpec, in spec.Instance) (map[string]string, error) {
	env := map[string]string{}
	for _, use := range s.Configs {
		if !use.Env {
			continue
		}
		given := map[string]string{}
		if err := n.readJSON(in.Name, in.ID, configPath(use.Name, configEnv), &given); err != nil {
			return nil, fmt.Errorf("cannot read the variables of config %s: %w", use.Name, err)
		}
		for name, value := range given {
			env[name] = value
		}
	}
	if len(env) == 0 {
		return s.Env, nil
	}
	for name, value := range s.Env {
		env[name] = value
	}
	return env, nil
}

// ownConfigs gives the files of configs to the superuser of a user namespace whose ids were not known before.
func (n *Node) ownConfigs(in spec.Instance, ids mount.IDMap) error {
	uid, gid, ok := ids.Root()
	if !ok || in.Spec.Spec.Namespaces.User.Mode != spec.UserJoin {
		return nil
	}
	for _, use := range in.Spec.Spec.Configs {
		dir := filepath.Join(n.instanceDir(in.Name, in.ID), configPath(use.Name, configFiles))
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, int(uid), int(gid)))
		})
		if err != nil {
			return fmt.Errorf("config %s: %w", use.Name, err)
		}
	}
	return nil
}

// seeConfigs notes that the process that is about to start sees what is written. Should it not come, the next one does.
func (n *Node) seeConfigs(in spec.Instance) error {
	for name, state := range in.Configs {
		if state.Seen == state.Written {
			continue
		}
		state.Seen = state.Written
		if err := n.writeJSON(in.Name, in.ID, configPath(name, configState), state); err != nil {
			return err
		}
	}
	return nil
}

// NoteConfigs writes down what an instance has of its configs: see spec.Image.Restored.
func (n *Node) NoteConfigs(in spec.Instance, states map[string]spec.ConfigState) error {
	for name, state := range states {
		if state.Seen == in.Configs[name].Seen {
			continue
		}
		if err := n.writeJSON(in.Name, in.ID, configPath(name, configState), state); err != nil {
			return err
		}
	}
	return nil
}
