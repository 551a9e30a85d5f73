package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The socket by which a container says that it is ready, see sd_notify(3): below its directory on the node, and inside.
const (
	notifySocket = "notify.sock"
	notifyInside = "/run/notify"
)

// notifying gives a container a directory for the socket. The service manager's own socket stays out of its reach.
func (m *making) notifying(c *spec.ContainerSpec) error {
	if m.NotifySocket == "" {
		return nil
	}
	dir := m.dir.file(notifyDir)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the directory of the notify socket: %w", err)
	}
	c.Mounts = append(c.Mounts, spec.Mount{
		Type: spec.MountBind, Source: dir, Destination: notifyInside, Options: []string{"bind", "nosuid", "noexec", "nodev", "ro"},
	})
	c.Env["NOTIFY_SOCKET"] = notifyInside + "/" + notifySocket
	return nil
}

// notifier passes on what a container says.
type notifier struct {
	inside *net.UnixConn
	to     string
}

// listen makes the socket of a container that has the directory for it; nil for others.
func (d *directory) listen(to string) (*notifier, error) {
	dir := d.file(notifyDir)
	if _, err := os.Stat(dir); to == "" || err != nil {
		return nil, nil
	}
	path := dir + "/" + notifySocket
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err == nil {
		err = os.Chmod(path, 0o777) // whoever the container's user is
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen at the notify socket: %w", err)
	}
	return &notifier{conn, to}, nil
}

func (n *notifier) close() {
	if n != nil {
		_ = n.inside.Close()
	}
}

// notifyLook is how often it is looked whether the container is still there.
const notifyLook = 100 * time.Millisecond

// wait returns when the container has said that it is ready, and the service manager been told who it is; or has ended before.
func (n *notifier) wait(ctx context.Context, rec record) error {
	if n == nil {
		return nil
	}
	buffer := make([]byte, 4<<10)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		_ = n.inside.SetReadDeadline(time.Now().Add(notifyLook))
		size, err := n.inside.Read(buffer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && rec.lives():
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		}
		for line := range bytes.Lines(buffer[:size]) {
			if bytes.HasPrefix(line, []byte("READY=1")) {
				return n.say(fmt.Sprintf("READY=1\nMAINPID=%d\n", rec.Pid))
			}
		}
	}
}

func (n *notifier) say(text string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.to, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("cannot tell the service manager: %w", err)
	}
	defer conn.Close()
	_, err = conn.Write([]byte(text))
	return err
}
