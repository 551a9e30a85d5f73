package linux

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// namespaces compares where process 1 is with where its start put it. Of a namespace that ends with the processes nobody else has a handle: there it counts only
// whether it is the node's. One that is joined by a path may be another by now, and is left out.
func (l *deepLook) namespaces() error {
	for _, k := range namespace.Kinds {
		var err error
		switch k.Wanted(l.full.Spec) {
		case namespace.New:
			err = l.namespace(k.Name, false)
		case namespace.Node:
			err = l.namespace(k.Name, true)
		}
		if err != nil {
			return err
		}
	}
	if err := l.namespace("mnt", false); err != nil {
		return err
	}
	if mode := l.full.Spec.Namespaces.User.Mode; mode == spec.UserJoin {
		return nil
	}
	return l.namespace(namespace.FileUser, !hasUsers(l.full.Spec))
}

// namespace compares one.
func (l *deepLook) namespace(kind string, nodes bool) error {
	found, err := namespace.OfProcess(l.in.Pid, kind)
	if errors.Is(err, fs.ErrNotExist) && l.alive() { // the kernel has none of that kind
		return nil
	}
	if err != nil {
		return err
	}
	node, err := namespace.OfSelf(kind)
	if err != nil {
		return err
	}
	field := "namespaces." + kind
	switch {
	case nodes && found != node:
		l.differs(field, found.Text(kind), "the node's, "+node.Text(kind), false)
	case nodes:
	case found == node:
		l.differs(field, "the node's, "+found.Text(kind), "the container's own", false)
	case !l.isHome(kind, found):
		return l.compareKept(kind, found)
	}
	return nil
}

// compareKept compares one with that which the keeper keeps, if it keeps one.
func (l *deepLook) compareKept(kind string, found namespace.ID) error {
	kept, err := l.keeps(kind)
	if err != nil {
		return err
	}
	if kept != nil {
		wanted, err := namespace.Of(kept)
		if err != nil {
			return err
		}
		if found != wanted {
			l.differs("namespaces."+kind, found.Text(kind), wanted.Text(kind), false)
			return nil
		}
	}
	l.settle(kind, found)
	return nil
}

func (l *deepLook) alive() bool { return unix.Kill(l.in.Pid, 0) != unix.ESRCH }

// network compares the network of a container that has one of its own.
func (l *deepLook) network() error {
	want := l.full.Spec.Network
	if want.Mode != spec.NetworkBridge && want.Mode != spec.NetworkPrivate && want.Mode != "" {
		return nil
	}
	ns, done, err := l.open(namespace.FileNet)
	if err != nil {
		return err
	}
	defer done()
	if want.Mode != spec.NetworkBridge {
		up, err := network.LoopbackIsUp(ns)
		if err == nil && !up {
			l.differs("network.loopback", "lo down", "lo up", true)
		}
		return err
	}
	bridges, err := l.n.bridges()
	if err != nil {
		return err
	}
	drifts, err := bridges.Drift(l.ctx, sandboxKey(l.in.Name, l.full.Spec.Group), ns, l.in.Spec.Spec.Network)
	l.drifts = append(l.drifts, drifts...)
	return err
}

// mendNetwork puts the network back, all of it at once. A process that is in another one than its start put it into is not followed there.
func (l *deepLook) mendNetwork([]string) error {
	ns, done, err := l.open(namespace.FileNet)
	if err != nil {
		return err
	}
	defer done()
	if l.full.Spec.Network.Mode != spec.NetworkBridge {
		return netlink.Inside(ns, network.LoopbackUp)
	}
	bridges, err := l.n.bridges()
	if err != nil {
		return err
	}
	return bridges.Mend(l.ctx, sandboxKey(l.in.Name, l.full.Spec.Group), ns, l.in.Spec.Spec.Network)
}
