package linux

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Start starts the command of an instance that has no process. Everything the start needs is computed and opened here; the keeper
// only runs the program.
func (n *Node) Start(ctx context.Context, name string, id uint64) (err error) {
	defer func() { err = about("start", name, err) }()
	in, err := n.known(name, id)
	if err != nil {
		return err
	}
	if live(in) {
		return nil
	}
	have, err := n.readRecord(name, id)
	if err != nil {
		return err
	}
	group, err := n.group(name, id)
	if err != nil {
		return err
	}
	if err := n.clearGroup(ctx, group, have); err != nil {
		return err
	}
	full := spec.Defaulted(have.Spec, have.Defaults)
	if err := n.prepareLayer(full, id, spec.LifeInstance, spec.LifeName); err != nil {
		return err
	}
	request := keeper.StartRequest{
		Key:     keeper.Key{Name: name, Instance: id},
		Dir:     n.instanceDir(name, id),
		Network: full.Spec.Network.Mode,
		Log:     keeper.Log{Dir: n.logDir(name), MaxSize: int64(full.Spec.Logs.MaxSize), MaxFiles: full.Spec.Logs.MaxFiles},
		Cgroup:  group.Path(),
		OOM:     group.OOMFile(),
	}
	files, err := n.compose(&request.Program, full, group, id)
	defer closeAll(files)
	if err != nil {
		return err
	}
	request.Files = n.host.lend(files)
	_, err = n.keeper.Start(ctx, request)
	return err
}

// compose writes the start program of a defaulted container and opens the files it names, which the caller closes even after an error.
func (n *Node) compose(p *process.Program, c spec.Container, group *cgroup.Group, id uint64) (map[string]*os.File, error) {
	plan, err := n.planStart(c, n.layer(c, id))
	if err != nil {
		return nil, err
	}
	files, err := group.Files()
	if err != nil {
		return nil, err
	}
	cgroup.Enter(p, files)
	plan.namespace.Moves = len(files) > 1
	plan.append(p)
	mounts, err := plan.mount.Open()
	maps.Copy(files, mounts)
	return files, err
}

// clearGroup ends whatever somebody left in the group of an ended process. The group is then made anew: into a cgroup that was killed once,
// some kernels let nothing be cloned any more.
func (n *Node) clearGroup(ctx context.Context, group *cgroup.Group, have record) error {
	state, err := group.State()
	if err != nil {
		return err
	}
	if state.Populated {
		if err := n.end(ctx, group); err != nil {
			return fmt.Errorf("its cgroup is not empty: %w", err)
		}
		n.unwatch(group)
		if err := group.Remove(ctx); err != nil {
			return err
		}
		return n.makeGroup(group, have)
	}
	if frozen, err := group.Freezing(); err != nil || !frozen {
		return err
	}
	return group.Thaw(ctx)
}

func closeAll(files map[string]*os.File) {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	_ = errors.Join(errs...) // they were opened for reading, or as handles
}
