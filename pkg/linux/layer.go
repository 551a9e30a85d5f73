package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
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

// logOf is how the keeper keeps the output of a defaulted container.
func (n *Node) logOf(full spec.Container) keeper.Log {
	l := full.Spec.Logs
	return keeper.Log{Dir: n.logDir(full.Metadata.Name), MaxSize: int64(l.MaxSize), MaxFiles: l.MaxFiles, None: n.LogDriver(l) == spec.LogNone}
}

// prepareLayer makes a container's layer, if it has a directory. One of the kept lives may hold something already; any other is made anew,
// because it is a former start's or, on disk, that of an instance of an earlier boot. The instance was started so many times.
func (n *Node) prepareLayer(c spec.Container, id uint64, starts int, kept ...spec.Life) error {
	dir := n.layer(c, id)
	if dir == "" {
		return nil
	}
	if err := settleLayer(dir, id, starts); err != nil {
		return err
	}
	if !slices.Contains(kept, c.Spec.Rootfs.Writable.Life) {
		if err := mount.RemoveLayer(dir); err != nil {
			return err
		}
	}
	return mount.PrepareLayer(dir, c.Spec.Rootfs)
}

// removeLayers removes all layers of a name: its own, and those that instances of earlier boots left on disk.
func (n *Node) removeLayers(name string, medium spec.Medium) error {
	dir := filepath.Join(n.layersDir(medium), name)
	layers, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot list the layers of %q: %w", name, err)
	}
	for _, layer := range layers {
		if err := mount.RemoveLayer(filepath.Join(dir, layer.Name())); err != nil {
			return err
		}
	}
	return discard(dir)
}
