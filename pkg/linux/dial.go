package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Dial opens a connection from inside an instance's network; see reconcile.Node. It opens the network by the pidfd of process 1, so that no
// stranger's can be meant, whatever has its number now, and whichever network its manifest asks for.
func (n *Node) Dial(ctx context.Context, name string, id uint64, kind, address string) (_ net.Conn, err error) {
	defer func() { err = about("connect into", name, err) }()
	to, err := network.Address(kind, address)
	if err != nil {
		return nil, err
	}
	pidfd, err := n.running(name, id)
	if err != nil {
		return nil, err
	}
	defer pidfd.Close()
	conn, err := network.Connect(ctx, pidfd, to)
	if errors.Is(err, unix.ESRCH) { // it has ended since, and nobody has buried it yet
		err = fmt.Errorf("instance %d has ended: %w: %w", id, spec.ErrNotRunning, err)
	}
	return conn, err
}

// running is a pidfd of process 1 of an instance that is Running. It reads little as long as all is well, and looks closely when it is not.
func (n *Node) running(name string, id uint64) (*os.File, error) {
	pidfd, err := n.alive(name, id)
	if err == nil {
		return pidfd, nil
	}
	in, lookErr := n.known(name, id)
	switch {
	case lookErr != nil:
		return nil, lookErr
	case in.Phase != spec.InstanceRunning:
		return nil, fmt.Errorf("instance %d is %s: %w", id, in.Phase, spec.ErrNotRunning)
	case errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrNotExist): // it has ended, and the keeper is about to say so
		return nil, fmt.Errorf("instance %d has ended: %w: %w", id, spec.ErrNotRunning, err)
	}
	return nil, err
}

// alive is a pidfd of process 1 of an instance that has one, and was not told to freeze.
func (n *Node) alive(name string, id uint64) (*os.File, error) {
	group, err := n.group(name, id)
	if err != nil {
		return nil, err
	}
	freezing, err := group.Freezing()
	if err != nil {
		return nil, err
	}
	if freezing {
		return nil, fmt.Errorf("instance %d is frozen: %w", id, spec.ErrNotRunning)
	}
	var started keeper.Started
	if err := n.readJSON(name, id, keeper.StartFile, &started); err != nil {
		return nil, err
	}
	if started.BootID != n.boot {
		return nil, unix.ESRCH
	}
	return process.OpenVerified(started.Pid, started.StartTime)
}
