package linux

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
)

// LivesOn waits until no Tool is at work on an instance, whoever has asked for it, and then tells whether the instance has a process that nobody has killed: what a
// Tool has done last may be just that.
func (n *Node) LivesOn(ctx context.Context, name string, id uint64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	for n.isWorkedOn(name) {
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("somebody is still at work on %q: %w", name, context.Cause(ctx))
		case <-time.After(toolPause):
		}
	}
	in, err := n.known(name, id)
	if err != nil || !live(in) {
		return false, err
	}
	return !condemned(in.Pid), nil
}

// isWorkedOn tells whether a Tool has a process; its cgroup may be there for longer, when no keeper is.
func (n *Node) isWorkedOn(name string) bool {
	aside, _ := filepath.Glob(filepath.Join(n.parent.Load().Path(), name, keeper.AsidePrefix+"*"))
	for _, dir := range aside {
		if pids, _ := survey.Pids(dir, nil); len(pids) > 0 {
			return true
		}
	}
	return false
}

// How long a tool whose caller died may go on, and how often to look.
const (
	toolTimeout = 20 * time.Second
	toolPause   = 5 * time.Millisecond
)

// condemned tells whether a process has ended, is ending, or has a SIGKILL to come.
func condemned(pid int) bool {
	if pending, err := process.Pending(pid); err != nil || pending.Has(unix.SIGKILL) {
		return true
	}
	// The signal is gone from there before the end is to be seen, for some instructions.
	for range condemnedLooks {
		stat, err := process.ReadStat(pid)
		if err != nil || stat.Exiting || stat.Dead() {
			return true
		}
		time.Sleep(toolPause)
	}
	return false
}

const condemnedLooks = 4
