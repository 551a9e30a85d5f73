package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Group is the group whose members may use the socket, beside root and the agent's own user.
const Group = "reconciler"

// Listen makes the socket at path, mode 0660, owned by the group reconciler where there is one. A socket that a dead
// agent left is replaced; one that answers is an error.
func Listen(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: private}
	listener, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	if err := share(path); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// private makes a socket that nobody else can connect to: bind takes the mode that the socket has, see unix_bind_bsd in
// net/unix/af_unix.c.
func private(_, _ string, raw syscall.RawConn) error {
	var err error
	ctlErr := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) })
	return errors.Join(ctlErr, err)
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look at socket %s: %w", path, err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("cannot listen on %s: it exists and is no socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return fmt.Errorf("cannot listen on %s: another agent answers there", path)
	}
	return os.Remove(path)
}

// share gives the socket to the group, if there is one; else it stays root's alone.
func share(path string) error {
	gid, ok := groupID()
	if !ok {
		return nil
	}
	if err := os.Chown(path, -1, int(gid)); err != nil {
		return fmt.Errorf("cannot give socket %s to group %s: %w", path, Group, err)
	}
	return os.Chmod(path, 0o660)
}

func groupID() (uint32, bool) {
	g, err := user.LookupGroup(Group)
	if err != nil {
		return 0, false
	}
	gid, err := strconv.ParseUint(g.Gid, 10, 32)
	return uint32(gid), err == nil
}
