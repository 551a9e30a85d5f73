package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// converse answers a client's requests until it hangs up or talks nonsense. A request that arrived whole is
// carried out whether its client lives on or not. A connection that comes to belong to a process is released, to count among sessions.
func (k *keeper) converse(ctx context.Context, conn *net.UnixConn, release func()) {
	for ctx.Err() == nil {
		var req request
		body, files, err := receive(conn, &req)
		if err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				k.cfg.Log.V(1).Info("client lost", "error", err.Error())
			}
			return
		}
		switch req.Verb {
		case verbExec, verbRun, verbAttach:
			k.session(ctx, conn, req, body, files, release)
			return
		case verbRestore:
			k.converseRestore(ctx, conn, req, body, files, release)
			return
		}
		resp, back := k.serve(conn, req, body, files)
		closeAll(files)
		if req.Verb == verbEvents && resp.Error == nil {
			k.subscribers.serve(ctx, conn)
			return
		}
		err = send(conn, resp, nil, back)
		closeAll(back)
		if err != nil {
			return
		}
	}
}

// session begins one, unless there are too many.
func (k *keeper) session(ctx context.Context, conn *net.UnixConn, req request, body []byte, files []*os.File, release func()) {
	if k.sessions.Add(1) > maxSessions {
		k.sessions.Add(-1)
		closeAll(files)
		send(conn, response{Error: toError(fmt.Errorf("there are %d sessions already: %w", maxSessions, unix.EAGAIN))}, nil, nil)
		return
	}
	defer k.sessions.Add(-1)
	release()
	if req.Verb != verbAttach {
		k.converseExec(ctx, conn, req, body, files)
		return
	}
	k.converseAttach(ctx, conn, req, files)
}

// converseExec starts a further process, to which the connection belongs from then on.
func (k *keeper) converseExec(ctx context.Context, conn *net.UnixConn, req request, body []byte, files []*os.File) {
	var e *execution
	err := req.current()
	if err == nil {
		k.gate.RLock()
		e, err = k.furtherOf(req, body, files)
		k.gate.RUnlock()
	}
	closeAll(files)
	resp := response{Error: toError(err)}
	if err == nil {
		resp.Pid = e.pid
	}
	failed := send(conn, resp, nil, nil)
	switch {
	case err != nil:
	case failed != nil && !req.Exec.Detach:
		e.report(e.kill())
	default:
		e.attend(ctx, conn, req.Exec.Detach)
	}
}

// serve carries out one request. The caller closes the files that go back.
func (k *keeper) serve(conn *net.UnixConn, req request, body []byte, files []*os.File) (resp response, back []*os.File) {
	var err error
	switch {
	case req.Verb == verbUpgrade:
		err = k.upgrade(conn, files)
	case req.Verb == verbHello:
		resp.Hello = Hello{Protocol: protocol, Build: k.build, Pid: os.Getpid(), Dropped: k.logs.Dropped()}
	case req.current() != nil:
		err = req.current()
	default:
		k.gate.RLock()
		defer k.gate.RUnlock()
		resp, back, err = k.act(req, body, files)
	}
	resp.Error = toError(err)
	return resp, back
}

// current refuses a request of another protocol.
func (req request) current() error {
	if req.Protocol != protocol {
		return fmt.Errorf("keeper speaks protocol %d, not %d: %w", protocol, req.Protocol, errors.ErrUnsupported)
	}
	return nil
}

// act carries out a request of this protocol.
func (k *keeper) act(req request, body []byte, files []*os.File) (resp response, back []*os.File, err error) {
	switch req.Verb {
	case verbStart:
		resp.Started, err = k.start(req, body, files)
	case verbStop, verbKill:
		err = k.signal(req)
	case verbRelease:
		err = k.release(req)
	case verbSandbox:
		resp.Sandbox, back, err = k.sandbox(req.Key.Name)
	case verbKeep:
		err = k.keep(req.Start, files)
	case verbForget:
		k.sandboxes.forget(req.Key.Name)
	case verbList:
		resp.Processes = k.list()
	case verbEvents:
	default:
		err = fmt.Errorf("unknown verb %q: %w", req.Verb, errors.ErrUnsupported)
	}
	return resp, back, err
}

// keep keeps a sandbox that nothing was started in yet.
func (k *keeper) keep(req startHeader, files []*os.File) error {
	if err := req.Sandbox.check(); err != nil {
		return err
	}
	if len(files) != len(req.Sandbox.Kinds) {
		return fmt.Errorf("cannot keep the namespaces of %q: %d files came along: %w", req.Sandbox.Key, len(files), fs.ErrInvalid)
	}
	byKind := map[string]*os.File{}
	for i, kind := range req.Sandbox.Kinds {
		byKind[kind] = files[i]
	}
	return k.sandboxes.keep(req.Sandbox, byKind)
}

// release ends and forgets an instance, if it is known, and then sandboxes.
func (k *keeper) release(req request) error {
	if in, unknown := k.find(req.Key); unknown == nil {
		if err := in.release(); err != nil {
			return err
		}
	}
	for _, sandbox := range req.Sandboxes {
		k.sandboxes.forget(sandbox)
	}
	return nil
}

// sandbox gives copies of the namespaces that are kept for a key.
func (k *keeper) sandbox(key string) (Sandbox, []*os.File, error) {
	kept, err := k.sandboxes.get(key)
	if err != nil {
		return Sandbox{}, nil, err
	}
	var files []*os.File
	for _, kind := range kept.Kinds {
		files = append(files, kept.files[kind])
	}
	return kept.Sandbox, files, nil
}

// start starts a process as requested.
func (k *keeper) start(req request, body []byte, files []*os.File) (Started, error) {
	program, named, err := k.prepareStart(req, body, files)
	if err != nil {
		return Started{}, err
	}
	for {
		started, err := k.findOrAdd(req.Key).start(req.Start, program, named)
		if !errors.Is(err, errGone) {
			return started, err
		}
	}
}

// prepareStart refuses what no later keeper would believe, and reads the program.
func (k *keeper) prepareStart(req request, body []byte, files []*os.File) (*process.Program, map[string]*os.File, error) {
	if err := req.Key.check(); err != nil {
		return nil, nil, err
	}
	if err := believePlaces(req.Key, req.Start.Log, req.Start.Cgroup, req.Start.OOM); err != nil { // or no later keeper will
		return nil, nil, fmt.Errorf("cannot start %q: %w", req.Key.Name, err)
	}
	if err := req.Start.Sandbox.check(); err != nil {
		return nil, nil, fmt.Errorf("cannot start %q: %w", req.Key.Name, err)
	}
	if filepath.Clean(req.Start.Dir) != k.dir(req.Key) {
		return nil, nil, fmt.Errorf("cannot start %q: its directory must be %s: %w", req.Key.Name, k.dir(req.Key), fs.ErrInvalid)
	}
	return decodeProgram(body, req.Start.Files, files)
}

// decodeProgram reads a program and gives its files their names.
func decodeProgram(body []byte, names []string, files []*os.File) (*process.Program, map[string]*os.File, error) {
	if len(files) != len(names) {
		return nil, nil, fmt.Errorf("%d files came along for %d names: %w", len(files), len(names), fs.ErrInvalid)
	}
	program := &process.Program{}
	if err := program.UnmarshalBinary(body); err != nil {
		return nil, nil, err
	}
	named := map[string]*os.File{}
	for i, name := range names {
		named[name] = files[i]
	}
	return program, named, nil
}

// signal stops or kills.
func (k *keeper) signal(req request) error {
	in, err := k.find(req.Key)
	if err != nil {
		return err
	}
	if req.Verb == verbStop {
		return in.requestStop(req.Signal, req.Timeout)
	}
	return in.requestKill(req.Signal)
}

// list shows all instances.
func (k *keeper) list() (ps []Process) {
	for _, in := range k.all() {
		ps = append(ps, in.view.Load().process())
	}
	sort.Slice(ps, func(i, j int) bool {
		return cmp.Or(cmp.Compare(ps[i].Name, ps[j].Name), cmp.Compare(ps[i].Instance, ps[j].Instance)) < 0
	})
	return ps
}
