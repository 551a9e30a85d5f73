package linux

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Start starts the command of an instance that has no process. Everything the start needs is computed and opened here; the keeper
// only runs the program.
func (n *Node) Start(ctx context.Context, name string, id uint64) (err error) {
	return n.start(ctx, name, id, nil)
}

// start is Start with files that the command finds from descriptor 3 on.
func (n *Node) start(ctx context.Context, name string, id uint64, extra []*os.File) (err error) {
	defer func() { err = about("start", name, err) }()
	in, err := n.known(name, id)
	if err != nil {
		return err
	}
	if live(in) {
		return nil
	}
	have, err := n.recordOf(in)
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
	full, err := n.withConfigs(spec.Defaulted(have.Spec, have.Defaults), in)
	if err != nil {
		return err
	}
	if err := n.prepareLayer(full, id, in.Starts, spec.LifeInstance, spec.LifeName); err != nil {
		return err
	}
	request := keeper.StartRequest{
		Key:    keeper.Key{Name: name, Instance: id},
		Dir:    n.instanceDir(name, id),
		Log:    n.logOf(full),
		Cgroup: group.Path(),
		OOM:    group.OOMFile(),
	}
	if full.Spec.Probes.Notify() {
		if full, err = n.notifying(full, id); err != nil {
			return err
		}
		request.Notify.Socket = true
	}
	facts, err := n.facts(full, group)
	if err != nil {
		return err
	}
	plan, err := start.NewPlan(full, facts, n.host)
	if err != nil {
		return err
	}
	if err := n.ownConfigs(in, facts.IDs); err != nil {
		return err
	}
	if uid, gid, ok := facts.IDs.Root(); ok && cgroup.Owned(full.Spec) {
		if err := group.Own(uid, gid); err != nil {
			return err
		}
	}
	given := map[string]*os.File{}
	for i, f := range extra {
		name := fmt.Sprintf("extra%d", i)
		plan.Attribute.ExtraFiles, given[name] = append(plan.Attribute.ExtraFiles, name), f
	}
	attendance, err := n.attend(full, id, group, &plan)
	if err != nil {
		return err
	}
	defer attendance.close()
	namespaces, err := n.namespaces(ctx, full, facts.IDs)
	defer closeAll(namespaces.files)
	if err != nil {
		return err
	}
	result, err := n.attachBridge(ctx, full, namespaces.files)
	if err != nil {
		return err
	}
	if err := n.writeInjected(full, id, result); err != nil {
		return err
	}
	files, err := plan.Compose(&request.Program, group, namespaces.files[namespace.FileUser])
	if err != nil {
		return errors.Join(err, files.Close())
	}
	defer files.Close()
	lend := n.host.Lend
	if full.Spec.Checkpoints() {
		lend = n.host.LendSavable
	}
	request.Sandbox, request.Files = namespaces.kept, lend(files.ByName)
	maps.Copy(request.Files, namespaces.files)
	maps.Copy(request.Files, given)
	if files.Console != nil {
		request.Files[keeper.FileConsole] = files.Console
	}
	attendance.join(&request)
	if err := n.seeConfigs(in); err != nil {
		return err
	}
	err = n.hooked(ctx, full, id, func() error {
		done, err := n.joinPID(ctx, namespaces.files[namespace.FilePID], plan.Exposes(namespaces.files[namespace.FileUser]))
		if err != nil {
			return err
		}
		defer done()
		return attendance.during(ctx, func() error {
			_, err := n.keeper.Start(ctx, request)
			return err
		})
	})
	return advised(err, full.Spec, group)
}

// advised adds the remedy to an error of a start that is due to what else the manifest says.
func advised(err error, s spec.ContainerSpec, group *cgroup.Group) error {
	failed, ok := errors.AsType[*process.Error](err)
	if !ok {
		return err
	}
	limit, isStarved := s.Resources.Memory.Max, failed.Errno == unix.ENOMEM
	if failed.Signal == unix.SIGKILL {
		kills, _ := group.OOMKills()
		isStarved = kills > 0
	}
	switch {
	case isStarved && !limit.IsZero() && !limit.IsMax():
		return fmt.Errorf("%w\nhint: it may have %s bytes of memory: raise resources.memory.max", err, limit)
	case failed.Step == attribute.StepScheduler && failed.Errno == unix.EPERM:
		return fmt.Errorf("%w\nhint: on cgroup v1 real time needs a share of it: say resources.cpu.rtRuntime", err)
	}
	return err
}

// facts are what a start of a defaulted container needs to know besides its words.
func (n *Node) facts(c spec.Container, group *cgroup.Group) (facts mount.Facts, err error) {
	facts = mount.Facts{Layer: n.layer(c, group.Instance), Injected: n.injected(c, group.Instance)}
	facts.IDs, err = n.mappings(c)
	return facts, err
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
