package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Exec starts a further process in a container. ctx bounds the start; Close ends the process. A detached one runs on by itself: its
// session is over from the beginning, and knows nothing but the pid.
//
// Errors are spec.ErrNotRunning, spec.ErrCommandNotFound and spec.ErrCommandNotExecutable beside those of every request.
func (c *Client) Exec(ctx context.Context, name string, e spec.Exec) (*Session, error) {
	path := "/containers/" + url.PathEscape(name) + "/exec"
	if !e.Detach {
		return c.session(ctx, path, e)
	}
	var begin api.Begin
	if err := c.post(ctx, path, e, &begin); err != nil {
		return nil, err
	}
	s := &Session{pid: begin.Pid, done: make(chan struct{}), err: errDetached}
	close(s.done)
	return s, nil
}

// Attach joins the input and output of a container's own process, from now on. Close leaves the process alone.
func (c *Client) Attach(ctx context.Context, name string) (*Session, error) {
	return c.session(ctx, "/containers/"+url.PathEscape(name)+"/attach", struct{}{})
}

var (
	errDetached = errors.New("the process is detached: nobody is told how it ends")
	errClosed   = errors.New("the session was closed")
	errOver     = fmt.Errorf("the process takes no more input: %w", io.ErrClosedPipe)
)

// Session is a spec.Session in an agent. Its methods may be called from many goroutines. Output that is not read holds up everything
// that comes after it, the end included.
type Session struct {
	pid            int
	conn           net.Conn
	in             *api.FrameReader
	out            *api.FrameWriter
	input          *input // nil for none
	stdout, stderr *output
	closed         sync.Once

	done chan struct{} // closed when the session is over; then:
	exit spec.Exit
	err  error
}

// session asks for a session with one round trip, over a connection of its own.
func (c *Client) session(ctx context.Context, path string, body any) (*Session, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, c.unreachable(err)
	}
	s, err := c.begin(ctx, conn, path, body)
	if err != nil {
		conn.Close()
		return nil, err
	}
	go s.receive()
	return s, nil
}

func (c *Client) begin(ctx context.Context, conn net.Conn, path string, body any) (*Session, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	s, err := c.upgrade(conn, path, body)
	if !stop() {
		return nil, c.unreachable(ctx.Err())
	}
	return s, err
}

// upgrade sends the request, and receives the answer and the first frame.
func (c *Client) upgrade(conn net.Conn, path string, body any) (*Session, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(http.MethodPost, "http://agent/"+api.APIVersion+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", api.SessionProtocol)
	if err := request.Write(conn); err != nil {
		return nil, c.unreachable(err)
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, c.refused(response)
	}
	s := &Session{conn: conn, in: api.NewFrameReader(reader), out: api.NewFrameWriter(conn), done: make(chan struct{})}
	return s, c.first(s)
}

// first receives what the session has.
func (c *Client) first(s *Session) error {
	t, payload, err := s.in.Next()
	if err != nil {
		return c.unreachable(err)
	}
	var begin api.Begin
	if err := json.Unmarshal(payload, &begin); err != nil || t != api.FrameBegin {
		return fmt.Errorf("cannot understand the agent on %s: a session begins with frame %#x, %v", c.socket, t, err)
	}
	s.pid = begin.Pid
	if begin.Stdin {
		s.input = newInput(s.out)
	}
	s.stdout, s.stderr = newOutput(begin.Stdout), newOutput(begin.Stderr)
	return nil
}

// receive takes the agent's frames until the session is over.
func (s *Session) receive() {
	defer close(s.done)
	for over := false; !over; {
		t, payload, err := s.in.Next()
		if err == nil {
			over, err = s.take(t, payload)
		}
		if err != nil {
			s.err, over = ended(err), true
		}
	}
	s.conn.Close()
	s.input.over()
	s.stdout.end()
	s.stderr.end()
}

// ended is why a session ends without an end of its process.
func ended(err error) error {
	switch {
	case errors.Is(err, net.ErrClosed):
		return errClosed
	case errors.Is(err, api.ErrFrame), errors.As(err, new(*api.Error)):
		return err
	default:
		return fmt.Errorf("the agent went away in the middle: %w", err)
	}
}

// take takes one frame; over tells that it is the last.
func (s *Session) take(t api.FrameType, payload []byte) (over bool, err error) {
	switch t {
	case api.FrameStdout:
		s.stdout.give(payload)
	case api.FrameStderr:
		s.stderr.give(payload)
	case api.FrameTaken:
		n, err := api.Taken(payload)
		s.input.taken(n)
		return false, err
	case api.FrameExit:
		return true, json.Unmarshal(payload, &s.exit)
	case api.FrameFailed:
		e := &api.Error{}
		if err := json.Unmarshal(payload, e); err != nil {
			return true, err
		}
		return true, e
	default:
		return true, fmt.Errorf("%w: type %#x", api.ErrFrame, t)
	}
	return false, nil
}

// Pid is the number of the process as the node sees it, 0 when not known.
func (s *Session) Pid() int { return s.pid }

// Stdin is the input. A write waits until the process has taken what was written before, but for some 256 KiB.
func (s *Session) Stdin() io.WriteCloser {
	if s.input == nil {
		return nil
	}
	return s.input
}

// Stdout is the output.
func (s *Session) Stdout() io.Reader { return s.stdout.reader() }

// Stderr is the other output.
func (s *Session) Stderr() io.Reader { return s.stderr.reader() }

// Resize sets the size of the terminal.
func (s *Session) Resize(size spec.TerminalSize) error {
	if s.over() || s.stderr != nil {
		return nil
	}
	_ = s.out.SendJSON(api.FrameResize, size) // it fails when the session is over: see Wait
	return nil
}

// Signal sends a signal by its name to the process.
func (s *Session) Signal(_ context.Context, signal string) error {
	if _, ok := spec.Signals[signal]; !ok {
		return fmt.Errorf("no signal %q", signal)
	}
	if s.over() {
		return nil
	}
	_ = s.out.Send(api.FrameSignal, []byte(signal))
	return nil
}

func (s *Session) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Wait waits for the end of the process, which comes after all output.
func (s *Session) Wait(ctx context.Context) (spec.Exit, error) {
	select {
	case <-s.done:
		return s.exit, s.err
	case <-ctx.Done():
		return spec.Exit{}, ctx.Err()
	}
}

// Close ends the session.
func (s *Session) Close() error {
	s.closed.Do(func() {
		if s.conn == nil {
			return
		}
		s.conn.Close()
		s.stdout.drop()
		s.stderr.drop()
	})
	<-s.done
	return nil
}
