package linux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Node is this machine, as one process leads it. New, Run, Load and Containers give a handle of each container; the verbs that take
// a name and the number of an instance are what handles are made of, for a loop that has several instances of a name and plans them: the
// laws of each are on reconcile.Node. Of these, verbs of different names may run in parallel, those of one name may not.
type Node struct {
	cfg      Config
	locks    []*os.File
	boot     string
	tree     cgroup.Tree
	settling sync.Mutex
	parent   atomic.Pointer[cgroup.Parent] // replaced when systemd removes it
	keeper   *keeper.Client                // starts another keeper when the one it talks to dies
	host     *start.Host                   // what that keeper has to give
	pool     *network.Pool

	turns turns // of Containers

	toolCache toolCache

	idsLock   sync.Mutex // held while ids are given out or back
	groupLock sync.Mutex // held while the sandbox of a group is made or forgotten
	joining   joining

	stored stored // for deep looks
	homes  homes

	networkMu   sync.Mutex
	network     *network.Node // nil until a container wants a bridge
	networkLock net.Listener  // held with it

	mu       sync.Mutex
	watchers []*cgroup.Watcher // one for each Events
}

// Open makes the directories and the cgroup parent, takes the node's lock and finds or starts the keeper; what ran, runs on and is
// there again. ctx bounds the opening alone. A second Open of the same directories or parent, in any process, is unix.EBUSY and names the first; a
// wrong cfg, or a program that cannot be a keeper, is fs.ErrInvalid. Close ends nothing that runs.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	n := &Node{cfg: cfg}
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.giveUp(ctx), n.Close())
	}
	return n, nil
}

func (n *Node) open(ctx context.Context) (err error) {
	if n.cfg, err = n.cfg.said(); err != nil {
		return fmt.Errorf("cannot open node: %w", err)
	}
	if err := n.openDirs(); err != nil {
		return err
	}
	if err := n.tidyAll(); err != nil {
		return err
	}
	if n.boot, err = process.BootID(); err != nil {
		return err
	}
	if n.tree, err = cgroup.Detect(); err != nil {
		return err
	}
	n.keeper, err = keeper.Ensure(ctx, keeper.Config{
		RunDir: n.cfg.RunDir, Command: n.cfg.Keeper, Log: n.cfg.Log,
		Place: n.settle, Start: n.keeperService(),
	})
	if err != nil {
		return err
	}
	hello, err := n.keeper.Hello(ctx)
	if err != nil {
		return err
	}
	n.renew(ctx, hello)
	if n.host, err = start.OpenHost(hello.Pid); err != nil {
		return err
	}
	n.host.Waits = true
	n.pool = network.NewPool(sandboxPool)
	if err := n.settle(ctx, hello.Pid); err != nil {
		return err
	}
	if err := n.settleRestores(ctx); err != nil { // some container's own trouble
		n.cfg.Log.Error(err, "what an earlier agent was restoring is not settled")
	}
	if err := n.tidyExecs(); err != nil {
		return err
	}
	if err := n.resumeBridges(ctx); err != nil { // the next container that wants one will say so again
		n.cfg.Log.Error(err, "bridges are not taken over")
	}
	return nil
}

// Close lets go of the node; the containers and the keeper stay. See Shutdown for an end without rest.
func (n *Node) Close() error {
	var errs []error
	if n.keeper != nil {
		errs = append(errs, n.keeper.Close())
	}
	if parent := n.parent.Load(); parent != nil {
		errs = append(errs, parent.Close())
	}
	if n.networkLock != nil {
		errs = append(errs, n.networkLock.Close())
	}
	if n.pool != nil {
		errs = append(errs, n.pool.Close())
	}
	errs = append(errs, n.host.Close())
	for _, lock := range n.locks {
		errs = append(errs, lock.Close())
	}
	return errors.Join(errs...)
}

// Boot is the name of this boot of the machine, see process.BootID.
func (n *Node) Boot() string { return n.boot }

// LogDir is where the output of a container is kept, for package log to read.
func (n *Node) LogDir(name string) string { return n.logDir(name) }

// CgroupParent is the cgroup above all containers, a path below the mount point of every hierarchy.
func (n *Node) CgroupParent() string { return n.groups().Name() }

// LogDriver is where output goes: what is said, or the node's own.
func (n *Node) LogDriver(l spec.Logs) spec.LogDriver {
	return cmp.Or(l.Driver, n.cfg.LogDriver, spec.LogFile)
}
