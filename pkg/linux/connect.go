package linux

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// OwnsNetwork tells whether a container's network namespace ends with its processes, because it belongs to their users.
func OwnsNetwork(s spec.ContainerSpec) bool {
	return hasUsers(s) && s.Network.Mode != spec.NetworkHost
}

// hasUsers tells whether a container has a user namespace that is not the node's.
func hasUsers(s spec.ContainerSpec) bool {
	mode := s.Namespaces.User.Mode
	return mode != "" && mode != spec.UserHost
}

// Connect gives the network namespace that the program has made its place on a bridge, once the first process is in it, packets are kept out of it and before sockets
// are made: for who has said OwnsNetwork. Pid is that process, on the node.
func (r *Restore) Connect(ctx context.Context, pid int) error {
	file, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, namespace.FileNet))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := r.isOwn(pid, file); err != nil {
		return err
	}
	if _, err := r.node.attachBridge(ctx, r.full, map[string]*os.File{namespace.FileNet: file}); err != nil {
		return err
	}
	if err := savable(r.full.Spec, file); err != nil {
		return err
	}
	return netlink.Inside(file, func() error {
		if r.full.Spec.Network.Mode != spec.NetworkNone {
			if err := network.LoopbackUp(); err != nil {
				return err
			}
		}
		for _, s := range r.sysctls {
			if err := s.Set(); err != nil {
				return err
			}
		}
		return nil
	})
}

// isOwn refuses a network namespace that is not a process's users'.
func (r *Restore) isOwn(pid int, net *os.File) error {
	fd, err := unix.IoctlRetInt(int(net.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		return err
	}
	owner := os.NewFile(uintptr(fd), "user")
	defer owner.Close()
	users, err := namespace.Of(owner)
	if err != nil {
		return err
	}
	theirs, err := namespace.OfProcess(pid, namespace.FileUser)
	if err != nil {
		return err
	}
	own, err := namespace.OfProcess(os.Getpid(), namespace.FileUser)
	if err != nil {
		return err
	}
	if users != theirs || users == own {
		return fmt.Errorf("the network of process %d is not its users': %w", pid, fs.ErrInvalid)
	}
	return nil
}
