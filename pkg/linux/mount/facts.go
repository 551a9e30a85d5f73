package mount

import (
	"fmt"
	"os"
	"path"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Facts are what a plan needs to know of the node besides the manifest.
type Facts struct {
	// Layer is the directory made by PrepareLayer, "" for a layer that lives from Start to exit.
	Layer string
	// Owner is that of the rootfs's root directory.
	Owner Owner
	// Missing are the mount points that a read-only rootfs lacks.
	Missing []string
	// Directories tells, by index of the manifest's mounts, whether a bind's source is a directory.
	Directories []bool
}

// Look gathers the facts for one start of a container. A rootfs where /proc, /sys or /dev is not an ordinary directory is
// fs.ErrInvalid; a missing rootfs or bind source is fs.ErrNotExist.
func Look(c spec.Container, layer string) (Facts, error) {
	root, err := rootfs.Open(c.Spec.Rootfs.Path)
	if err != nil {
		return Facts{}, err
	}
	defer root.Close()
	facts := Facts{Layer: layer}
	if facts.Owner, err = owner(root); err != nil {
		return Facts{}, err
	}
	for _, dir := range bases {
		if err := root.Ordinary(dir); err != nil {
			return Facts{}, err
		}
	}
	if c.Spec.Rootfs.ReadOnly {
		if facts.Missing, err = root.Missing(mountPoints(c.Spec.Mounts)); err != nil {
			return Facts{}, err
		}
	}
	facts.Directories, err = directories(c.Spec.Mounts)
	return facts, err
}

// mountPoints are the destinations that are not inside another mount.
func mountPoints(mounts []spec.Mount) []string {
	var points []string
	for _, m := range slices.Concat(standard, mounts) {
		if p := path.Clean(m.Destination); !isBelowAny(p, points...) {
			points = append(points, p)
		}
	}
	return points
}

// directories looks at the sources of the bind mounts.
func directories(mounts []spec.Mount) ([]bool, error) {
	are := make([]bool, len(mounts))
	for i, m := range mounts {
		if m.Type != spec.MountBind {
			continue
		}
		info, err := os.Stat(m.Source)
		if err != nil {
			return nil, fmt.Errorf("cannot bind to %q: %w", m.Destination, err)
		}
		are[i] = info.IsDir()
	}
	return are, nil
}
