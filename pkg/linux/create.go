package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Create makes an instance without a process: its directory, cgroup, limits and layer, and last of all its record, which commits
// it. What a failed Create made is removed again; what a killed one made shows as Broken.
func (n *Node) Create(ctx context.Context, c spec.Container, id uint64, defaults int) (err error) {
	name, hash := c.Metadata.Name, spec.Identity(c, defaults)
	defer func() { err = about("create", name, err) }()
	if have, err := n.readRecord(name, id); err == nil {
		if have.Hash == hash {
			return nil
		}
		return fmt.Errorf("instance %d is there with another spec: %w", id, fs.ErrExist)
	}
	group, err := n.parent.Group(name, id)
	if err != nil {
		return err
	}
	full := spec.Defaulted(c, defaults)
	if err := n.parent.Unsupported(full.Spec.Resources); err != nil {
		return err
	}
	dir := n.instanceDir(name, id)
	if _, err := os.Lstat(dir); err == nil || group.Exists() {
		return fmt.Errorf("instance %d is half-made: destroy it first: %w", id, fs.ErrExist)
	}

	// One undo for all of it: Destroy's own steps stand any state in between.
	defer func() {
		if err != nil {
			err = errors.Join(err, n.dismantle(context.WithoutCancel(ctx), group, full))
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make its state directory: %w", err)
	}
	made := record{Schema: recordSchema, Name: name, Instance: id, BootID: n.boot, Defaults: defaults, Hash: hash, Spec: c}
	if err := n.makeGroup(group, made); err != nil {
		return err
	}
	if err := n.prepareLayer(full, id); err != nil {
		return err
	}
	if _, err := n.planStart(full, n.layer(full, id)); err != nil {
		return err
	}
	return n.writeRecord(made)
}

// makeGroup makes an instance's cgroup with its limits and identity, and watches it.
func (n *Node) makeGroup(group *cgroup.Group, r record) error {
	if err := group.Create(); err != nil {
		return err
	}
	if err := group.Set(r.Spec.Spec.Resources); err != nil {
		return err
	}
	if err := group.SetIdentity(cgroup.Identity{Hash: r.Hash, Defaults: r.Defaults, BootID: r.BootID}); err != nil {
		return err
	}
	n.watch(group)
	return nil
}

// Update writes the limits in place and records c, of which only live fields may differ from what the instance was created from. A torn
// record is written anew.
func (n *Node) Update(_ context.Context, c spec.Container, id uint64) (err error) {
	name := c.Metadata.Name
	defer func() { err = about("update", name, err) }()
	in, err := n.known(name, id)
	if err != nil {
		return err
	}
	if spec.Identity(c, in.Defaults) != in.Hash {
		return fmt.Errorf("instance %d was created from other fields than live ones: it needs a successor: %w", id, fs.ErrInvalid)
	}
	group, err := n.parent.Group(name, id)
	if err != nil {
		return err
	}
	if err := group.Set(c.Spec.Resources); err != nil {
		return err
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
