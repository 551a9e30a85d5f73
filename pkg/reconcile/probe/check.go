package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Dialer opens a connection from inside a container's network; ctx bounds the opening alone.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Execer runs a command in a container and gives its exit code with at most MaxOutput bytes of what it said. When ctx ends it kills what
// it has started, and returns soon; nothing of the command is left then.
type Execer func(ctx context.Context, command []string) (code int, output []byte, err error)

// MaxOutput bounds what is kept of a command's output, in bytes.
const MaxOutput = 4 << 10

// Means are the ways into one container.
type Means struct {
	Dial Dialer
	Exec Execer
}

// maxMessage bounds what is told of a failure, in bytes: most of it is written by who is asked.
const maxMessage = 256

// Check asks a probe's question once, within its timeout; nil is a success, any error a failure, told in words for people. A probe that asks nothing
// is errors.ErrUnsupported. What Dial and Exec say of the container itself, spec.ErrNotRunning say, stays in the chain of the error.
func Check(ctx context.Context, p spec.Probe, m Means) error {
	p = p.Defaulted()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.Timeout))
	defer cancel()
	err := check(ctx, p, m)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", p.Timeout)
	}
	return err
}

func check(ctx context.Context, p spec.Probe, m Means) error {
	switch {
	case p.HTTP != nil:
		return checkHTTP(ctx, *p.HTTP, m.Dial)
	case p.TCP != nil:
		return converse(ctx, m.Dial, p.TCP.Address, p.TCP.Port, func(net.Conn) error { return nil })
	case p.GRPC != nil:
		return checkGRPC(ctx, *p.GRPC, m.Dial)
	case p.Exec != nil:
		return checkExec(ctx, *p.Exec, m.Exec)
	}
	return fmt.Errorf("nothing to ask: %w", errors.ErrUnsupported)
}

// converse connects and talks until ctx ends.
func converse(ctx context.Context, dial Dialer, address string, port int, talk func(net.Conn) error) error {
	conn, err := dial(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if err != nil {
		return refusal(err)
	}
	defer conn.Close()
	// The deadline is set by hand: a context that is cancelled before has none.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return talk(conn)
}

// refusal tells why there is no connection in few words, and keeps the error.
func refusal(err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Addr == nil {
		return err
	}
	cause := op.Err
	if call, ok := errors.AsType[*os.SyscallError](cause); ok {
		cause = call.Err
	}
	return &told{fmt.Sprintf("cannot connect to %s: %v", op.Addr, cause), err}
}

// told is an error in other words.
type told struct {
	text string
	err  error
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.err }
