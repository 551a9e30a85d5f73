package linux

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup/systemd"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

// groups is the cgroup above the containers.
func (n *Node) groups() *cgroup.Parent { return n.parent.Load() }

// place puts a keeper where it belongs and says below which cgroup the containers go. systemd owns the cgroups of its machine but for
// what it delegates: a scope that lives as long as the keeper or a container. Elsewhere the keeper stays where it was started. A
// parent with a leading slash is the operator's own choice: the keeper gets the scope all the same, because it must not end with the
// agent's service, but the containers go where they have every controller of the kernel's.
func (n *Node) place(ctx context.Context, keeper int) (parent string, err error) {
	plain, chosen := strings.CutPrefix(n.cfg.CgroupParent, "/")
	if feature.Systemd.Probe() != nil {
		return plain, nil
	}
	parent, err = systemd.Delegate(ctx, n.tree, path.Base(plain), keeper)
	if chosen {
		parent = plain
	}
	return parent, err
}

// keeperService is what starts a keeper as a service of systemd's: what this process lacks or is denied as a hardened service would else be the containers' lot too. It is nil where the
// keeper is to be a child: without systemd, with a command of its own, and where this process has files that others do not see.
func (n *Node) keeperService() func(ctx context.Context, argv []string) error {
	program, err := os.Executable()
	if err != nil || n.cfg.Keeper != nil || feature.Systemd.Probe() != nil || !systemd.SharesNamespaces() {
		return nil
	}
	program = strings.TrimSuffix(program, " (deleted)") // its successor is there by now, see proc_pid_exe(5)
	name := path.Base(n.cfg.CgroupParent)
	return func(ctx context.Context, argv []string) error {
		return systemd.StartService(ctx, name+"-keeper", "reconciler: keeper of the containers in "+name+".scope", program, argv)
	}
}

// settle places a keeper and opens the cgroup above the containers, unless the one that is open is still there. A keeper that dies
// while no container runs takes its scope along, and with it the cgroups of the instances that have ended: they are made anew.
func (n *Node) settle(ctx context.Context, keeper int) error {
	n.settling.Lock()
	defer n.settling.Unlock()
	where, err := n.place(ctx, keeper)
	if err != nil {
		return err
	}
	old := n.groups()
	if old != nil && old.Exists() {
		return nil
	}
	parent, err := cgroup.Open(cgroup.Config{Tree: n.tree, Parent: where})
	if err != nil {
		return err
	}
	n.parent.Store(parent)
	if old != nil {
		err = old.Close()
	}
	return errors.Join(err, n.regroup())
}

// present settles again when the cgroup parent is gone, so that nobody takes for Broken what only lost its scope.
func (n *Node) present(ctx context.Context) error {
	if n.groups().Exists() {
		return nil
	}
	hello, err := n.keeper.Hello(ctx)
	if err != nil {
		return err
	}
	return n.settle(ctx, hello.Pid)
}

// regroup makes the cgroup of every instance that has a record and no cgroup.
func (n *Node) regroup() error {
	return n.each(func(name string, id uint64) error {
		group, err := n.group(name, id)
		if err != nil {
			return err
		}
		r, err := n.readRecord(name, id)
		if err != nil || group.Exists() {
			return nil // half-made, or not concerned
		}
		if err := n.makeGroup(group, r); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}
