package seccomp

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// seccompFd is the name of the one descriptor in the message of SendListener.
const seccompFd = "seccompFd"

// processState is the ContainerProcessState of the OCI runtime specification, config-linux.md.
type processState struct {
	Version  string          `json:"ociVersion"`
	Fds      []string        `json:"fds"`
	Pid      int             `json:"pid"`
	Metadata string          `json:"metadata,omitempty"`
	State    json.RawMessage `json:"state"`
}

// SendListener sends a filter's listener, with the state of its container, to the program that decides: one message of
// ContainerProcessState over a connection to its socket, which is then closed. pid is the process with the filter, state the OCI
// runtime specification's state as JSON, with at least ociVersion. It waits as long as ctx does.
func SendListener(ctx context.Context, to Listener, state []byte, pid int, listener *os.File) error {
	err := sendListener(ctx, to, state, pid, listener)
	if err != nil {
		return fmt.Errorf("cannot send the seccomp listener to %s: %w", to.Path, err)
	}
	return nil
}

func sendListener(ctx context.Context, to Listener, state []byte, pid int, listener *os.File) error {
	message, err := newMessage(to.Metadata, state, pid)
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", to.Path)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	return send(ctx, conn.(*net.UnixConn), message, listener)
}

func newMessage(metadata string, state []byte, pid int) ([]byte, error) {
	m := processState{Fds: []string{seccompFd}, Pid: pid, Metadata: metadata, State: state}
	said := struct { // of the state itself, only this is read
		Version *string `json:"ociVersion"`
	}{&m.Version}
	if err := json.Unmarshal(state, &said); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return json.Marshal(m)
}

// send writes the message, the descriptor with its first bytes: the specification lets a message be several writes, of
// which only the first carries descriptors.
func send(ctx context.Context, conn *net.UnixConn, message []byte, listener *os.File) error {
	raw, err := listener.SyscallConn()
	if err != nil {
		return err
	}
	var n int
	var sent error
	if err := raw.Control(func(fd uintptr) { n, _, sent = conn.WriteMsgUnix(message, unix.UnixRights(int(fd)), nil) }); err != nil {
		return err
	}
	if sent == nil && n < len(message) {
		_, sent = conn.Write(message[n:])
	}
	if sent != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return sent
}
