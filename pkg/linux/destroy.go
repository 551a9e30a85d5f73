package linux

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// destroyTimeout bounds the wait for killed processes to be gone. One stuck in the kernel leaves the instance Broken; the next Destroy goes on.
const destroyTimeout = 10 * time.Second

// Destroy kills what runs and removes every trace of an instance and, with the last one of a name, of the name. Its state directory
// goes last: until everything else is gone, a Destroy that was killed shows as a Broken instance, to be destroyed again.
func (n *Node) Destroy(ctx context.Context, name string, id uint64, keep bool) (err error) {
	defer func() { err = about("destroy", name, err) }()
	group, err := n.group(name, id)
	if err != nil {
		return err
	}
	record, lost := n.readRecord(name, id)
	ids, err := n.instances(name)
	if err != nil {
		return err
	}
	last := !keep && !slices.ContainsFunc(ids, func(other uint64) bool { return other != id })
	var sandboxes []string
	if last {
		sandboxes = append(sandboxes, sandboxKey(name, ""))
	}
	if in, err := n.known(name, id); err == nil && lost == nil && !live(in) { // a successor may go on with the name's layer
		if dir := n.layer(spec.Defaulted(record.Spec, record.Defaults), id); dir != "" {
			if err := settleLayer(dir, id, in.Starts); err != nil {
				return err
			}
		}
	}
	if err := n.dismantle(ctx, group, sandboxes...); err != nil {
		return err
	}
	if err := n.poststop(ctx, name, id); err != nil {
		return err
	}
	if last {
		grouped := lost != nil || record.Spec.Spec.Group != ""
		if err := n.forget(ctx, name, grouped); err != nil {
			return err
		}
	}
	return n.vanish(name, id)
}

// dismantle removes an instance in any state of repair, but for its state directory, and sandboxes. The record goes first: what is left of a killed
// dismantle is Broken, not adopted.
func (n *Node) dismantle(ctx context.Context, group *cgroup.Group, sandboxes ...string) error {
	ctx, cancel := context.WithTimeout(ctx, destroyTimeout)
	defer cancel()
	name, id := group.Name, group.Instance
	if err := clear(filepath.Join(n.instanceDir(name, id), recordFile)); err != nil {
		return err
	}
	n.unwatch(group)
	// The keeper kills and reaps process 1, with which its pid namespace ends; only what others put into the cgroup is left to wait for.
	if err := n.keeper.Release(ctx, keeper.Key{Name: name, Instance: id}, sandboxes...); err != nil {
		return err
	}
	if state, err := group.State(); err == nil && state.Populated {
		if err := n.end(ctx, group); err != nil {
			return err
		}
	}
	if err := group.Remove(ctx); err != nil {
		return err
	}
	if err := mount.RemoveLayer(n.layerDir(name, id, spec.MediumMemory)); err != nil {
		return err
	}
	dir := n.layerDir(name, id, spec.MediumDisk)
	return errors.Join(settleLayer(dir, id, math.MaxInt), mount.RemoveLayer(dir))
}

// vanish removes the state directory of a dismantled instance.
func (n *Node) vanish(name string, id uint64) error {
	if err := os.RemoveAll(n.instanceDir(name, id)); err != nil {
		return fmt.Errorf("cannot remove its state directory: %w", err)
	}
	return n.tidy(name)
}

// tidy removes the directories of a name that have nothing in them.
func (n *Node) tidy(name string) error {
	var errs []error
	for _, dir := range []string{n.stateDir(name), filepath.Join(n.layersDir(spec.MediumMemory), name), filepath.Join(n.layersDir(spec.MediumDisk), name)} {
		if err := discard(dir); !errors.Is(err, unix.ENOTEMPTY) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// tidyAll tidies up after a Destroy that was killed in its last steps.
func (n *Node) tidyAll() error {
	entries, err := os.ReadDir(n.stateDir(""))
	if err != nil {
		return fmt.Errorf("cannot list the instances: %w", err)
	}
	for _, entry := range entries {
		if entry.IsDir() && spec.ValidName(entry.Name()) == nil {
			if err := n.tidy(entry.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// end kills every process in the group and waits until they are gone.
func (n *Node) end(ctx context.Context, group *cgroup.Group) error {
	if err := group.Kill(); err != nil {
		return err
	}
	if err := group.Wait(ctx, func(s cgroup.State) bool { return !s.Populated }); err != nil {
		return fmt.Errorf("its processes do not end: %w", err)
	}
	return nil
}

// forget removes what belongs to a name rather than to an instance, but for its sandbox: address, ids, Name-lived layers, output; and what belongs to its
// group if it has one and was the last of it.
func (n *Node) forget(ctx context.Context, name string, grouped bool) error {
	if grouped { // which takes a look at everybody whose name begins alike
		if err := n.forgetGroups(ctx, name); err != nil {
			return err
		}
	}
	return errors.Join(
		n.leaveBridge(ctx, sandboxKey(name, "")),
		n.freeIDs(sandboxKey(name, "")),
		n.removeLayers(name, spec.MediumMemory),
		n.removeLayers(name, spec.MediumDisk),
		os.RemoveAll(n.logDir(name)),
	)
}
