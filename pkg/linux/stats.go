package linux

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Stats reads what an instance uses and has used; see reconcile.Node.
func (n *Node) Stats(_ context.Context, name string, id uint64) (s spec.Stats, err error) {
	defer func() { err = about("read the statistics of", name, err) }()
	group, err := n.group(name, id)
	if err != nil {
		return s, err
	}
	if s, err = group.Stats(); err != nil {
		return s, err
	}
	s.Network, err = n.interfaces(name, id)
	return s, err
}

// interfaces are those that process 1 of an instance sees; none without a process, or in the node's own network.
func (n *Node) interfaces(name string, id uint64) ([]spec.InterfaceStats, error) {
	var started keeper.Started
	err := n.readJSON(name, id, keeper.StartFile, &started)
	if err != nil || started.BootID != n.boot { // what cannot be read is observe's matter
		return nil, nil
	}
	dir, err := proc.Open(started.Pid)
	if err == nil {
		defer dir.Close()
		var interfaces []spec.InterfaceStats
		if interfaces, err = ofProcess(dir, started.StartTime); err == nil {
			return interfaces, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EINVAL) { // it has ended, perhaps a moment ago
		err = nil
	}
	return nil, err
}

// ofProcess reads the interfaces of the process that started at a time, whoever has its number now.
func ofProcess(dir proc.Dir, startTime uint64) ([]spec.InterfaceStats, error) {
	found, err := dir.StartTime()
	if err != nil || found != startTime {
		return nil, err
	}
	theirs, err := dir.Namespace("net")
	if err != nil {
		return nil, err
	}
	ours, err := proc.Open(os.Getpid())
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	if node, err := ours.Namespace("net"); err != nil || node == theirs {
		return nil, err
	}
	return dir.Interfaces()
}
