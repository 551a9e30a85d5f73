package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// destroyTimeout bounds the wait for killed processes to be gone. One stuck in the kernel leaves the instance Broken; the next Destroy goes on.
const destroyTimeout = 10 * time.Second

// Destroy kills what runs and removes every trace of an instance and, with the last one of a name, of the name.
func (n *Node) Destroy(ctx context.Context, name string, id uint64, keep bool) (err error) {
	defer func() { err = about("destroy", name, err) }()
	group, err := n.group(name, id)
	if err != nil {
		return err
	}
	var full spec.Container
	if have, err := n.readRecord(name, id); err == nil {
		full = spec.Defaulted(have.Spec, have.Defaults)
	}
	full.Metadata.Name = name
	if err := n.dismantle(ctx, group, full); err != nil {
		return err
	}
	rest, err := n.instances(name)
	if err != nil || len(rest) > 0 || keep {
		return err
	}
	return n.forget(ctx, name)
}

// dismantle removes an instance in any state of repair. The record goes first: what is left of a killed dismantle is Broken, not adopted.
func (n *Node) dismantle(ctx context.Context, group *cgroup.Group, c spec.Container) error {
	ctx, cancel := context.WithTimeout(ctx, destroyTimeout)
	defer cancel()
	name, id := group.Name, group.Instance
	dir := n.instanceDir(name, id)
	if err := discard(filepath.Join(dir, recordFile)); err != nil {
		return err
	}
	n.unwatch(group)
	// The keeper kills and reaps process 1, with which its pid namespace ends; only what others put into the cgroup is left to wait for.
	if err := n.keeper.Release(ctx, keeper.Key{Name: name, Instance: id}); err != nil {
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
	if err := mount.RemoveLayer(n.layerDir(name, id, spec.MediumDisk)); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
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

// forget removes what belongs to a name rather than to an instance: sandbox, Name-lived layers, output, directories.
func (n *Node) forget(ctx context.Context, name string) error {
	if err := n.keeper.Forget(ctx, name); err != nil {
		return err
	}
	return errors.Join(
		n.removeLayers(name, spec.MediumMemory),
		n.removeLayers(name, spec.MediumDisk),
		os.RemoveAll(n.logDir(name)),
		os.RemoveAll(n.stateDir(name)),
	)
}
