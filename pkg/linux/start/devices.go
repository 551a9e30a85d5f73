package start

import (
	"fmt"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// devices are the nodes of a container's devices, with what the manifest leaves to the node.
func devices(said []spec.Device) ([]mount.Device, error) {
	var nodes []mount.Device
	for _, d := range said {
		d, err := cgroup.ResolveDevice(d)
		if err != nil {
			return nil, err
		}
		node, err := mount.NewDevice(d.Path, string(d.Type), d.Mode, orZero(d.Major), orZero(d.Minor), uint32(orZero(d.UID)), uint32(orZero(d.GID)))
		if err != nil {
			return nil, fmt.Errorf("cannot give the container %s: %w", d.Path, err)
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

func orZero(n spec.Number) uint64 {
	if n.IsZero() {
		return 0
	}
	return n.Value()
}
