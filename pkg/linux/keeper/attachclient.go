package keeper

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Attached is an instance's own process, as somebody attached to it sees it.
type Attached struct {
	// Input is where its input goes, owned by the caller: a pipe, or the master of its terminal; nil for none.
	Input *os.File
	// Terminal tells that Input is a terminal.
	Terminal bool

	awaited
}

// Attach has the output of an instance that runs copied to pipes, from now on and until Close or the end of the process. stderr may be nil. The caller
// keeps its ends, and is to read the others: who does not misses output, after having held up the container for a moment.
func (c *Client) Attach(ctx context.Context, key Key, stdout, stderr *os.File) (*Attached, error) {
	conn, err := c.fresh(ctx)
	if err != nil {
		return nil, err
	}
	files := []*os.File{stdout}
	if stderr != nil {
		files = append(files, stderr)
	}
	resp, back, err := exchange(ctx, conn, request{Protocol: protocol, Verb: verbAttach, Key: key, Attach: attachHeader{Stderr: stderr != nil}}, nil, files)
	if err == nil && resp.Error != nil {
		err = resp.Error
	}
	if err == nil && (len(back) == 1) != resp.Attached.Input {
		err = fmt.Errorf("cannot attach to %q: %w", key.Name, errFrame)
	}
	if err != nil {
		closeAll(back)
		conn.Close()
		return nil, err
	}
	a := &Attached{Terminal: resp.Attached.Terminal, awaited: newAwaited(conn)}
	switch {
	case len(back) == 1 && a.Terminal: // whose master the keeper has made non-blocking
		a.Input = back[0]
	case len(back) == 1:
		a.Input, err = reopen(back[0])
		closeAll(back)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot attach to %q: %w", key.Name, err)
	}
	go a.await()
	return a, nil
}

// reopen opens a pipe to write to by a description of this process's own, in non-blocking mode: a write that nobody takes ends with the file. The
// one that came is the container's as well, whose program would not understand EAGAIN.
func reopen(pipe *os.File) (*os.File, error) {
	return os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", number(pipe)), os.O_WRONLY|unix.O_NONBLOCK, 0)
}

// awaited is a process whose end comes over a connection of its own.
type awaited struct {
	conn  *net.UnixConn
	ended chan struct{}
	exit  spec.Exit
	err   error
}

func newAwaited(conn *net.UnixConn) awaited { return awaited{conn: conn, ended: make(chan struct{})} }

// await receives the end of the process, or of the connection.
func (a *awaited) await() {
	defer close(a.ended)
	var resp response
	_, extra, err := receive(a.conn, &resp)
	closeAll(extra)
	switch {
	case err != nil:
		a.err = fmt.Errorf("cannot wait for the process: the keeper hung up: %w", err)
	case resp.Exit == nil:
		a.err = fmt.Errorf("cannot wait for the process: %w", errFrame)
	default:
		a.exit = *resp.Exit
	}
}

// Wait waits for the end of the process.
func (a *awaited) Wait(ctx context.Context) (spec.Exit, error) {
	select {
	case <-a.ended:
		return a.exit, a.err
	case <-ctx.Done():
		return spec.Exit{}, context.Cause(ctx)
	}
}

// Close hangs up. It may be repeated.
func (a *awaited) Close() error {
	a.conn.Close()
	<-a.ended
	return nil
}
