package linux

import (
	"path/filepath"
	"strconv"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// layer is the directory of a container's writable layer, "" when each start makes its own.
func (n *Node) layer(c spec.Container, id uint64) string {
	w := c.Spec.Rootfs.Writable
	switch {
	case !mount.NeedsLayer(c.Spec.Rootfs):
		return ""
	case w.Life == spec.LifeName:
		return n.nameLayerDir(c.Metadata.Name, w.Medium)
	default:
		return n.layerDir(c.Metadata.Name, id, w.Medium)
	}
}

// layerDir is where an instance's own layer lives; nameLayerDir where the name's lives. Memory dies with the boot, as RUN does.
func (n *Node) layerDir(name string, id uint64, medium spec.Medium) string {
	return filepath.Join(n.layersDir(medium), name, strconv.FormatUint(id, 10))
}

func (n *Node) nameLayerDir(name string, medium spec.Medium) string {
	return filepath.Join(n.layersDir(medium), name, "name")
}

func (n *Node) layersDir(medium spec.Medium) string {
	if medium == spec.MediumDisk {
		return filepath.Join(n.cfg.StateDir, "layers")
	}
	return filepath.Join(n.cfg.RunDir, "layers")
}

// logDir is where a container's output is kept.
func (n *Node) logDir(name string) string { return filepath.Join(n.cfg.LogDir, name) }

// prepareLayer makes a container's layer, if it has a directory.
func (n *Node) prepareLayer(c spec.Container, id uint64) error {
	dir := n.layer(c, id)
	if dir == "" {
		return nil
	}
	return mount.PrepareLayer(dir, c.Spec.Rootfs)
}

// refreshLayer throws away what a former start left in a layer that lives only from Start, and makes sure of the others:
// one in Memory is gone when somebody unmounted it.
func (n *Node) refreshLayer(c spec.Container, id uint64) error {
	if dir := n.layer(c, id); dir != "" && c.Spec.Rootfs.Writable.Life == spec.LifeStart {
		if err := mount.RemoveLayer(dir); err != nil {
			return err
		}
	}
	return n.prepareLayer(c, id)
}

// removeLayers removes the layer that outlives a name's instances, and the directory of all its layers.
func (n *Node) removeLayers(name string, medium spec.Medium) error {
	if err := mount.RemoveLayer(n.nameLayerDir(name, medium)); err != nil {
		return err
	}
	return discard(filepath.Join(n.layersDir(medium), name))
}
