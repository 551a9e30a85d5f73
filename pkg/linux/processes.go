package linux

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Processes lists the processes of an instance by number; see reconcile.Node.
func (n *Node) Processes(_ context.Context, name string, id uint64) (all []spec.Process, err error) {
	defer func() { err = about("list the processes of", name, err) }()
	group, err := n.group(name, id)
	if err != nil {
		return nil, err
	}
	boot, err := proc.BootTime()
	if err != nil {
		return nil, err
	}
	pids, err := group.Procs()
	if err != nil {
		return nil, err
	}
	for _, pid := range slices.Compact(pids) {
		p, err := readProcess(pid, boot)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	// A number may have become a stranger's before its process was opened: such a one is not in the cgroup.
	still, err := group.Procs()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(p spec.Process) bool {
		_, ours := slices.BinarySearch(still, p.Pid)
		return !ours
	}), nil
}

func readProcess(pid int, boot time.Time) (spec.Process, error) {
	dir, err := proc.Open(pid)
	if err != nil {
		return spec.Process{}, err
	}
	defer dir.Close()
	return dir.Process(boot)
}
