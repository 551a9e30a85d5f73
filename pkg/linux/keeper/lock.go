package keeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A dead keeper's lock, and its socket, live as long as a child of its that has not executed its command yet, which holds copies of the
// descriptors. So only an answer proves that a keeper is alive; without one the lock is waited for.
const (
	lockPatience = 2 * time.Second
	lockPause    = 5 * time.Millisecond
)

// errLocked tells that a keeper of this run directory is alive.
var errLocked = errors.New("another keeper runs")

// acquire takes the lock file of a run directory and writes this process's pid into it. The lock is let go when f and all copies are closed; see flock(2).
func acquire(cfg Config) (*os.File, error) {
	f, err := os.OpenFile(cfg.path(lockFile), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock: %w", err)
	}
	if err := waitLock(f, cfg); err != nil {
		f.Close()
		return nil, err
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if _, err = f.WriteAt([]byte(pid), 0); err == nil {
		err = f.Truncate(int64(len(pid)))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock: %w", err)
	}
	return f, nil
}

// waitLock waits for the lock unless a keeper answers.
func waitLock(f *os.File, cfg Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return os.NewSyscallError("flock", err)
		}
		if answers(ctx, cfg) || ctx.Err() != nil {
			return fmt.Errorf("%w: process %d holds %s", errLocked, lockHolder(f), f.Name())
		}
		time.Sleep(lockPause)
	}
}

// answers tells whether a keeper serves the socket.
func answers(ctx context.Context, cfg Config) bool {
	_, err := greet(ctx, cfg)
	return err == nil
}

// greet asks the keeper who it is, over a connection of its own.
func greet(ctx context.Context, cfg Config) (Hello, error) {
	conn, err := dial(ctx, cfg)
	if err != nil {
		return Hello{}, err
	}
	defer conn.Close()
	resp, extra, err := exchange(ctx, conn, request{Protocol: protocol, Verb: verbHello}, nil, nil)
	closeAll(extra)
	return resp.Hello, err
}

// lockHolder reads the pid in the lock file; 0 if there is none.
func lockHolder(f *os.File) int {
	buf := make([]byte, 16)
	n, _ := f.ReadAt(buf, 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	return pid
}
