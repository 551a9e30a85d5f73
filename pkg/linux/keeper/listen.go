package keeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxClients bounds the connections at one time, and maxSessions those besides that belong to a process: they last as long as that, and must
// not keep others from being heard.
const (
	maxClients  = 256
	maxSessions = 1024
)

// How long the keeper waits after one, two, ... connections that it could not accept, for want of descriptors say.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// listen opens the socket. A file of a dead keeper is replaced: the lock is ours.
func (k *keeper) listen(from *handover) (err error) {
	if k.socket, err = from.socket(); k.socket != nil || err != nil {
		return err
	}
	path := k.cfg.path(socketFile)
	if err := remove("", path); err != nil {
		return err
	}
	short, release, err := shortPath(path)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	defer release()
	if k.socket, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"}); err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	k.socket.SetUnlinkOnClose(false)
	return os.Chmod(path, 0o600)
}

// accept serves clients until the socket is closed.
func (k *keeper) accept(ctx context.Context, work *sync.WaitGroup) {
	slots := make(chan struct{}, maxClients)
	var pause time.Duration
	for {
		conn, err := k.socket.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			k.cfg.Log.Error(err, "cannot accept a client")
			pause = longer(pause)
			rest(ctx, pause)
			continue
		}
		pause = 0
		slots <- struct{}{}
		work.Go(func() {
			release := sync.OnceFunc(func() { <-slots })
			defer release()
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			if err := trusted(conn); err != nil {
				k.cfg.Log.Error(err, "client refused")
				return
			}
			k.converse(ctx, conn, release)
		})
	}
}

// longer doubles a pause within its bounds.
func longer(pause time.Duration) time.Duration {
	return min(max(2*pause, minAcceptPause), maxAcceptPause)
}

// rest waits, unless ctx ends first.
func rest(ctx context.Context, pause time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

// trusted tells whether the peer is root or this process's user.
func trusted(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	if failed := raw.Control(func(fd uintptr) {
		peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); failed != nil || err != nil {
		return errors.Join(failed, err)
	}
	if !slices.Contains([]uint32{0, uint32(os.Geteuid())}, peer.Uid) {
		return fmt.Errorf("process %d of user %d: %w", peer.Pid, peer.Uid, unix.EACCES)
	}
	return nil
}
