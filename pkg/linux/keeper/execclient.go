package keeper

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Exec is a further process of an instance, as its client sees it.
type Exec struct {
	Pid int

	conn  *net.UnixConn
	mu    sync.Mutex // held to send
	ended chan struct{}
	exit  spec.Exit
	err   error
}

// Exec starts a further process in an instance that runs, and returns when it executes its command. The caller keeps the files.
// Of a failed step of the program, errors.As finds the *process.Error. Unless it is detached, the process is killed when Close is
// called, and when client or keeper die. The cgroup goes with it, and with a start that fails.
func (c *Client) Exec(ctx context.Context, r ExecRequest) (*Exec, error) {
	head := execHeader{Cgroup: r.Cgroup, Detach: r.Detach, Files: slices.Sorted(maps.Keys(r.Files))}
	files := make([]*os.File, len(head.Files))
	for i, name := range head.Files {
		files[i] = r.Files[name]
	}
	program, err := r.Program.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("cannot encode an exec in %q: %w", r.Name, err)
	}
	conn, err := c.fresh(ctx) // an idle one may lead to a dead keeper, and this request is not to be sent twice
	if err != nil {
		return nil, err
	}
	resp, extra, err := exchange(ctx, conn, request{Protocol: protocol, Verb: verbExec, Key: r.Key, Exec: head}, program, files)
	closeAll(extra)
	if err == nil && resp.Error != nil {
		err = resp.Error
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	e := &Exec{Pid: resp.Pid, conn: conn, ended: make(chan struct{})}
	go e.await()
	return e, nil
}

// await receives the end of the process, or of the connection.
func (e *Exec) await() {
	defer close(e.ended)
	var resp response
	_, extra, err := receive(e.conn, &resp)
	closeAll(extra)
	switch {
	case err != nil:
		e.err = fmt.Errorf("cannot wait for process %d: the keeper hung up: %w", e.Pid, err)
	case resp.Exit == nil:
		e.err = fmt.Errorf("cannot wait for process %d: %w", e.Pid, errFrame)
	default:
		e.exit = *resp.Exit
	}
}

// Wait waits for the end of the process.
func (e *Exec) Wait(ctx context.Context) (spec.Exit, error) {
	select {
	case <-e.ended:
		return e.exit, e.err
	case <-ctx.Done():
		return spec.Exit{}, context.Cause(ctx)
	}
}

// Signal sends a signal by its name. A process that has ended is no error.
func (e *Exec) Signal(name string) error {
	if _, err := parseSignal(name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.ended:
		return nil
	default:
		return send(e.conn, request{Protocol: protocol, Verb: verbKill, Signal: name}, nil, nil)
	}
}

// Close hangs up: a process that is not detached is killed. It may be repeated.
func (e *Exec) Close() error {
	e.conn.Close()
	<-e.ended
	return nil
}
