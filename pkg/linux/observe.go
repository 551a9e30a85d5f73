package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Observe shows every instance of every name: what has a cgroup below the parent or a directory below RUN/state.
func (n *Node) Observe(ctx context.Context) ([]spec.Instance, error) {
	if err := n.present(ctx); err != nil {
		return nil, err
	}
	names, err := n.names()
	if err != nil {
		return nil, err
	}
	all := make([]spec.Instance, 0, len(names))
	for _, name := range names {
		one, err := n.ObserveOne(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, one...)
	}
	return all, nil
}

// names are all names with a directory in either place, sorted: in most there are instances.
func (n *Node) names() ([]string, error) {
	groups, err := n.groups().Names()
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, name := range groups {
		names[name] = true
	}
	entries, err := os.ReadDir(n.stateDir(""))
	if err != nil {
		return nil, fmt.Errorf("cannot list the instances: %w", err)
	}
	for _, entry := range entries {
		if entry.IsDir() && spec.ValidName(entry.Name()) == nil {
			names[entry.Name()] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// each does something about every instance, name by name and oldest first, until that fails.
func (n *Node) each(do func(name string, id uint64) error) error {
	names, err := n.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		ids, err := n.instances(name)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := do(name, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// ObserveOne shows the instances of one name, oldest first.
func (n *Node) ObserveOne(ctx context.Context, name string) ([]spec.Instance, error) {
	if err := n.present(ctx); err != nil {
		return nil, err
	}
	ids, err := n.instances(name)
	if err != nil {
		return nil, err
	}
	instances := make([]spec.Instance, len(ids))
	for i, id := range ids {
		instances[i] = spec.Instance{Name: name, ID: id}
		if err := n.show(&instances[i]); err != nil {
			return nil, fmt.Errorf("cannot observe %s/%d: %w", name, id, err)
		}
	}
	return instances, nil
}

// instances are the ids of a name, ascending: those with a cgroup and those with a directory.
func (n *Node) instances(name string) ([]uint64, error) {
	groups, err := n.groups().ListOne(name)
	if err != nil {
		return nil, err
	}
	var ids []uint64
	for _, group := range groups {
		if group.Instance > 0 {
			ids = append(ids, group.Instance)
		}
	}
	entries, err := os.ReadDir(n.stateDir(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		if id, err := strconv.ParseUint(entry.Name(), 10, 64); err == nil && entry.IsDir() && id > 0 && strconv.FormatUint(id, 10) == entry.Name() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// observe shows one instance with its limits and what it died of.
func (n *Node) observe(name string, id uint64) (spec.Instance, error) {
	in := spec.Instance{Name: name, ID: id}
	err := n.show(&in)
	return in, err
}

// show is observe in place of an instance of which name and number are said: it is a large value.
func (n *Node) show(in *spec.Instance) error {
	group, err := n.see(in)
	if err != nil {
		return err
	}
	if in.OOMKills, err = group.OOMKills(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if in.Wanted = n.groups().Wanted(in.Spec.Spec.Resources); !in.Wanted.IsZero() {
		if in.Resources, err = group.Get(in.Wanted); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// look shows one instance but for its limits, which no verb asks for.
func (n *Node) look(name string, id uint64) (spec.Instance, error) {
	in := spec.Instance{Name: name, ID: id}
	_, err := n.see(&in)
	return in, err
}

// see looks at an instance: the kernel first, then the keeper's files, then the record.
func (n *Node) see(in *spec.Instance) (*cgroup.Group, error) {
	group, err := n.group(in.Name, in.ID)
	if err != nil {
		return nil, err
	}
	in.Cgroup = group.Path()
	// The cgroup is read last: an exit that is recorded between the reads is then seen with its process gone.
	n.identify(in, group)
	in.Configs = n.configsOf(*in)
	lost := n.observeProcess(in)
	state, err := group.State()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		in.Phase, in.Problem = spec.InstanceBroken, "its cgroup is gone"
		return group, nil
	case err != nil:
		return nil, err
	}
	freezing, err := group.Freezing()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if lost && !state.Populated {
		in.Exit, in.Pid = &spec.Exit{Code: -1, Reason: spec.ExitUnknown, Pid: in.Pid, StartedAt: in.StartedAt}, 0
	}
	n.phase(in, state, freezing)
	return group, nil
}

// identify says what the instance was created from: its record or, if that is lost, the cgroup's own word.
func (n *Node) identify(in *spec.Instance, group *cgroup.Group) {
	r, err := n.readRecord(in.Name, in.ID)
	if err == nil {
		in.Spec, in.Hash, in.Defaults = r.Spec, r.Hash, r.Defaults
		return
	}
	id, idErr := group.Identity()
	if idErr == nil && id.Hash != "" && id.BootID == n.boot && !errors.Is(err, fs.ErrNotExist) {
		in.Hash, in.Defaults = id.Hash, id.Defaults
		return
	}
	in.Phase, in.Problem = spec.InstanceBroken, err.Error()
	if errors.Is(err, fs.ErrNotExist) {
		in.Problem = "it was not created to the end, or not destroyed to the end"
	}
}

// observeProcess reads the keeper's files, and tells whether there is an exit that cannot be understood.
func (n *Node) observeProcess(in *spec.Instance) (lost bool) {
	var started keeper.Started
	err := n.readJSON(in.Name, in.ID, keeper.StartFile, &started)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false
	case err != nil:
		in.Problem = err.Error()
		return false
	case started.BootID != n.boot:
		return false
	}
	in.Pid, in.Starts, in.StartedAt = started.Pid, started.Starts, started.StartedAt
	in.Notified = n.notified(in.Name, in.ID, started)
	if err := n.readJSON(in.Name, in.ID, keeper.StopFile, &in.Stopping); err != nil {
		in.Stopping = spec.Stopping{}
	}
	var exit spec.Exit
	err = n.readJSON(in.Name, in.ID, keeper.ExitFile, &exit)
	if err == nil && exit.Pid == started.Pid && exit.StartedAt.Equal(started.StartedAt) { // not that of the start before
		in.Exit, in.Pid = &exit, 0
	}
	in.Filling = in.Exit == nil && n.isFilling(in.Name, in.ID)
	return err != nil && !errors.Is(err, fs.ErrNotExist)
}

// phase draws the conclusion. A process that the keeper has not buried yet counts as running.
func (n *Node) phase(in *spec.Instance, state cgroup.State, frozen bool) {
	switch {
	case in.Phase == spec.InstanceBroken:
	case in.Exit != nil:
		in.Phase, in.Stopping = spec.InstanceExited, spec.Stopping{}
	case in.Pid == 0 && !state.Populated:
		in.Phase = spec.InstanceCreated
	case frozen:
		in.Phase = spec.InstancePaused
	default:
		in.Phase = spec.InstanceRunning
	}
}
