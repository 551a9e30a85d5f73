package linux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// networkLock is an abstract socket, of which each network namespace has its own: who listens there has its bridges. See unix(7).
const networkLock = "@reconciler-network"

// networkDir is where addresses and published ports are kept over a boot.
func (n *Node) networkDir() string { return filepath.Join(n.cfg.StateDir, "network") }

// bridges gives the bridges of the node, opened at first use: most nodes have none. Two agents in one network namespace cannot both have some.
func (n *Node) bridges() (*network.Node, error) {
	n.networkMu.Lock()
	defer n.networkMu.Unlock()
	if n.network != nil {
		return n.network, nil
	}
	lock, err := net.Listen("unix", networkLock)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("another agent has the bridges of this network namespace: %w\nhint: run one agent a network namespace, or use network.mode Private or Host", unix.EBUSY)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot lock the network: %w", err)
	}
	nodes, err := network.NewNode(network.Config{Dir: n.networkDir(), Subnet: n.cfg.Subnet, Log: n.cfg.Log})
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	n.network, n.networkLock = nodes, lock
	return nodes, nil
}

// hasBridges tells whether anybody ever had a bridge of this node and may still.
func (n *Node) hasBridges() bool {
	_, err := os.Lstat(n.networkDir())
	return err == nil
}

// resumeBridges takes over what an earlier agent left of bridges and ports, and removes what belongs to nobody any more.
func (n *Node) resumeBridges(ctx context.Context) error {
	if !n.hasBridges() {
		return nil
	}
	bridges, err := n.bridges()
	if err != nil {
		return err
	}
	var keep []string
	err = n.each(func(name string, id uint64) error {
		if r, err := n.readRecord(name, id); err == nil && r.Spec.Spec.Network.Mode == spec.NetworkBridge {
			keep = append(keep, sandboxKey(name, r.Spec.Spec.Group))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return bridges.Prune(ctx, slices.Compact(slices.Sorted(slices.Values(keep))))
}

// attachBridge attaches a sandbox to its bridge and publishes its ports, if the container wants one. Otherwise it gives back what the name had.
func (n *Node) attachBridge(ctx context.Context, c spec.Container, sandbox map[string]*os.File) (result network.Result, err error) {
	key := sandboxKey(c.Metadata.Name, c.Spec.Group)
	if c.Spec.Network.Mode != spec.NetworkBridge {
		return result, n.leaveBridge(ctx, key)
	}
	bridges, err := n.bridges()
	if err != nil {
		return result, err
	}
	return bridges.Attach(ctx, key, sandbox[namespace.FileNet], c.Spec.Network)
}

// leaveBridge gives back the address and ports of a sandbox, if there are any.
func (n *Node) leaveBridge(ctx context.Context, key string) error {
	if !n.hasBridges() {
		return nil
	}
	bridges, err := n.bridges()
	if err != nil {
		return err
	}
	return bridges.Forget(ctx, key)
}

// publish changes the published ports of a container that is attached.
func (n *Node) publish(ctx context.Context, c spec.Container) error {
	if c.Spec.Network.Mode != spec.NetworkBridge {
		return nil
	}
	bridges, err := n.bridges()
	if err != nil {
		return err
	}
	return bridges.Publish(ctx, sandboxKey(c.Metadata.Name, c.Spec.Group), c.Spec.Network.Ports)
}

// injected are the files of /etc that a container gets from the node, in its state directory; writeInjected writes them.
func (n *Node) injected(c spec.Container, id uint64) (list []mount.Injected) {
	for file := range network.Files(c, network.Result{}, network.NodeFiles{}) {
		list = append(list, mount.Injected{Destination: "/etc/" + file, Source: filepath.Join(n.instanceDir(c.Metadata.Name, id), file)})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Destination < list[j].Destination })
	return list
}

func (n *Node) writeInjected(c spec.Container, id uint64, result network.Result) error {
	var node network.NodeFiles
	if mode := c.Spec.Network.Mode; mode != spec.NetworkPrivate && mode != spec.NetworkNone {
		var err error
		if node, err = network.ReadNodeFiles("/"); err != nil {
			return err
		}
	}
	for file, text := range network.Files(c, result, node) {
		path := filepath.Join(n.instanceDir(c.Metadata.Name, id), file)
		// Written in place: what a running process of the name has mounted is this very file.
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o644)
		if err == nil {
			_, err = f.Write(text)
			err = errors.Join(err, f.Chmod(0o644), f.Close())
		}
		if err != nil {
			return fmt.Errorf("cannot write /etc/%s: %w", file, err)
		}
	}
	return nil
}
