package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Create makes an instance without a process: its directory, cgroup, limits and layer, and last of all its record, which commits
// it. What a failed Create made is removed again; what a killed one made shows as Broken.
func (n *Node) Create(ctx context.Context, c spec.Container, id uint64, defaults int) (err error) {
	name := c.Metadata.Name
	defer func() { err = about("create", name, err) }()
	group, err := n.group(name, id)
	if err != nil {
		return err
	}
	made := record{Schema: recordSchema, Name: name, Instance: id, BootID: n.boot, Defaults: defaults, Hash: spec.Identity(c, defaults), Spec: c}
	if n.exists(group) {
		return n.checkCreated(made)
	}
	full := spec.Defaulted(c, defaults)
	if err := errors.Join(n.groups().Unsupported(full.Spec.Resources), checkPressure(full.Spec.Pressure)); err != nil {
		return err
	}
	facts, err := n.facts(full, group)
	if err != nil {
		return err
	}
	planned := full
	planned.Spec.Mounts = configMounts(full.Spec, func(string) string { return n.stateDir("") }) // in place of directories that are made later
	if _, err := start.NewPlan(planned, facts, n.host); err != nil {
		return err
	}
	if unknown := seccomp.Ignored(full.Spec.Security.SeccompProfile); len(unknown) > 0 {
		n.cfg.Log.Info("system calls that no table has are left out of the seccomp profile", "name", name, "calls", unknown)
	}

	// One undo for all of it: Destroy's own steps stand any state in between.
	defer func() {
		if err != nil {
			err = errors.Join(err, n.dismantle(context.WithoutCancel(ctx), group), n.vanish(name, id))
		}
	}()
	if err := os.MkdirAll(n.instanceDir(name, id), 0o700); err != nil {
		return fmt.Errorf("cannot make its state directory: %w", err)
	}
	if err := n.makeGroup(group, made); err != nil {
		return err
	}
	if err := n.prepareLayer(full, id, 0, spec.LifeName); err != nil {
		return err
	}
	return n.writeRecord(made)
}

// exists tells whether there is anything of an instance.
func (n *Node) exists(group *cgroup.Group) bool {
	_, err := os.Lstat(n.instanceDir(group.Name, group.Instance))
	return err == nil || group.Exists()
}

// checkCreated is nil if the instance that is there is the one to be created: whole, and of the same identity.
func (n *Node) checkCreated(r record) error {
	in, err := n.look(r.Name, r.Instance)
	switch {
	case err != nil:
		return err
	case in.Phase == spec.InstanceBroken:
		return fmt.Errorf("instance %d is there and broken: %s: destroy it first: %w", in.ID, in.Problem, fs.ErrExist)
	case in.Hash != r.Hash:
		return fmt.Errorf("instance %d is there with another spec: %w", in.ID, fs.ErrExist)
	}
	return nil
}

// makeGroup makes an instance's cgroup with its limits and identity, and watches it.
func (n *Node) makeGroup(group *cgroup.Group, r record) error {
	if err := group.Create(); err != nil {
		return err
	}
	if err := setDevices(group, r.Spec.Spec); err != nil {
		return err
	}
	if err := group.Set(r.Spec.Spec.Resources); err != nil {
		return err
	}
	if err := group.SetIdentity(cgroup.Identity{Hash: r.Hash, Defaults: r.Defaults, BootID: r.BootID}); err != nil {
		return err
	}
	n.watch(group, r.Spec.Spec.Pressure)
	return nil
}

// setDevices makes the devices a container may use those it says.
func setDevices(group *cgroup.Group, s spec.ContainerSpec) error {
	rules, err := cgroup.DeviceRules(s)
	if err != nil {
		return err
	}
	return group.SetDevices(rules)
}

// Update writes the limits and the device rules in place and records c, of which only live fields may differ from what the instance was created from. A torn
// record is written anew.
func (n *Node) Update(ctx context.Context, c spec.Container, id uint64) (err error) {
	name := c.Metadata.Name
	defer func() { err = about("update", name, err) }()
	in, err := n.known(name, id)
	if err != nil {
		return err
	}
	if spec.Identity(c, in.Defaults) != in.Hash {
		return fmt.Errorf("instance %d was created from other fields than live ones: it needs a successor: %w", id, fs.ErrInvalid)
	}
	group, err := n.group(name, id)
	if err != nil {
		return err
	}
	if err := checkPressure(c.Spec.Pressure); err != nil {
		return err
	}
	if err := group.Set(c.Spec.Resources); err != nil {
		return err
	}
	if err := setDevices(group, c.Spec); err != nil {
		return err
	}
	n.watch(group, c.Spec.Pressure)
	if live(in) {
		if err := n.publish(ctx, c); err != nil {
			return err
		}
	}
	return n.writeRecord(record{Schema: recordSchema, Name: name, Instance: id, BootID: n.boot, Defaults: in.Defaults, Hash: in.Hash, Spec: c})
}

// about says which verb failed on which container.
func about(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s %q: %w", verb, name, err)
}
