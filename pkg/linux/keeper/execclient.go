package keeper

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Exec is a further process of an instance, as its client sees it.
type Exec struct {
	Pid int

	detached bool
	mu       sync.Mutex // held to send
	awaited
}

// Exec starts a further process in an instance that runs, and returns when it executes its command. The caller keeps the files.
// Of a failed step of the program, errors.As finds the *process.Error. Unless it is detached, the process is killed when Close is
// called, and when client or keeper die. The cgroup goes with it, and with a start that fails.
func (c *Client) Exec(ctx context.Context, r ExecRequest) (*Exec, error) {
	return c.further(ctx, verbExec, r)
}

// Run starts a process of the node's that belongs to no instance, as a child of the keeper and with all that it has, its cgroup too, but what the program changes. It is killed with
// the process group that it may lead when Close is called, and when the client dies. The caller keeps the files.
func (c *Client) Run(ctx context.Context, program process.Program, files map[string]*os.File) (*Exec, error) {
	return c.further(ctx, verbRun, ExecRequest{Program: program, Files: files})
}

// further begins a session of a further process.
func (c *Client) further(ctx context.Context, verb string, r ExecRequest) (*Exec, error) {
	req, program, files, err := execMessage(verb, r)
	if err != nil {
		return nil, fmt.Errorf("cannot encode the %s of %q: %w", verb, r.Name, err)
	}
	conn, err := c.fresh(ctx) // an idle one may lead to a dead keeper, and this request is not to be sent twice
	if err != nil {
		return nil, err
	}
	resp, extra, err := exchange(ctx, conn, req, program, files)
	closeAll(extra)
	if err == nil && resp.Error != nil {
		err = resp.Error
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	e := &Exec{Pid: resp.Pid, detached: r.Detach, awaited: newAwaited(conn)}
	go e.await()
	return e, nil
}

// execMessage is a further process as it goes over the socket, as startMessage is a start.
func execMessage(verb string, r ExecRequest) (request, []byte, []*os.File, error) {
	head := execHeader{Cgroup: r.Cgroup, Detach: r.Detach, After: r.After, Files: slices.Sorted(maps.Keys(r.Files))}
	files := make([]*os.File, len(head.Files))
	for i, name := range head.Files {
		files[i] = r.Files[name]
	}
	program, err := r.Program.MarshalBinary()
	return request{Protocol: protocol, Verb: verb, Key: r.Key, Exec: head}, program, files, err
}

// closeTimeout is how long Close waits for a process to die; one in the middle of a system call of a dead device takes forever.
const closeTimeout = 10 * time.Second

// Close hangs up. A process that is not detached is killed, with all that it has left in its cgroup, and gone when Close returns. It may be
// repeated.
func (e *Exec) Close() error {
	if !e.detached && e.conn.CloseWrite() == nil {
		select {
		case <-e.ended:
		case <-time.After(closeTimeout):
		}
	}
	return e.awaited.Close()
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
