package keeper

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// Client talks to the node's keeper. Its methods may be called from many goroutines and be repeated safely; they
// outlive a keeper: a request that loses its connection is sent again, to a new keeper if need be (after Ensure).
type Client struct {
	cfg    Config
	launch bool // start a keeper when none answers

	life context.Context // ends with Close
	end  context.CancelFunc

	mu   sync.Mutex
	idle []*net.UnixConn
}

// maxIdle is how many connections wait for the next request.
const maxIdle = 4

// attempts is how often a request is sent before its last connection error is reported.
const attempts = 3

// Dial connects to the keeper of runDir; fs.ErrNotExist or ECONNREFUSED when none runs.
func Dial(ctx context.Context, runDir string) (*Client, error) {
	c := newClient(Config{RunDir: runDir}, false)
	if _, err := c.Hello(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Ensure connects to the keeper of cfg.RunDir and starts one when none runs, now and later. It is fs.ErrInvalid when it could not: without a
// Command, in a program that has not called Hook.
func Ensure(ctx context.Context, cfg Config) (*Client, error) {
	if err := checkHook(cfg); err != nil {
		return nil, err
	}
	c := newClient(cfg, true)
	if _, err := c.Hello(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func newClient(cfg Config, launch bool) *Client {
	c := &Client{cfg: cfg, launch: launch}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// Hello asks the keeper who it is.
func (c *Client) Hello(ctx context.Context) (Hello, error) {
	resp, err := c.do(ctx, request{Verb: verbHello}, nil, nil)
	return resp.Hello, err
}

// Start starts a process in an instance and returns when it executes its command. If one runs there already, that
// one is returned. The caller keeps the files. Of a failed step of the program, errors.As finds the *process.Error.
func (c *Client) Start(ctx context.Context, r StartRequest) (Started, error) {
	req, program, files, err := startMessage(r)
	if err != nil {
		return Started{}, fmt.Errorf("cannot encode the start of %q: %w", r.Name, err)
	}
	ask := c.ask
	if r.Once {
		ask = c.askOnce
	}
	resp, back, err := ask(ctx, req, program, files)
	closeAll(back)
	return resp.Started, err
}

// startMessage is a start as it goes over the socket: header, body, files.
func startMessage(r StartRequest) (request, []byte, []*os.File, error) {
	head := startHeader{ID: rand.Text(), Dir: r.Dir, Sandbox: r.Sandbox, Log: r.Log, Cgroup: r.Cgroup, OOM: r.OOM, Notify: r.Notify, Patience: r.Patience}
	head.Files = slices.Sorted(maps.Keys(r.Files))
	files := make([]*os.File, len(head.Files))
	for i, name := range head.Files {
		files[i] = r.Files[name]
	}
	program, err := r.Program.MarshalBinary()
	return request{Verb: verbStart, Key: r.Key, Start: head}, program, files, err
}

// Stop sends signal ("SIGTERM") to process 1 and arms the kill of the cgroup after timeout. Repeating it never prolongs
// the deadline. A signal that process 1 neither catches nor blocks kills at once. An ended process is no error.
func (c *Client) Stop(ctx context.Context, key Key, signal string, timeout time.Duration) error {
	_, err := c.do(ctx, request{Verb: verbStop, Key: key, Signal: signal, Timeout: timeout}, nil, nil)
	return err
}

// Kill sends signal to process 1; SIGKILL kills the whole cgroup. An ended process is no error.
func (c *Client) Kill(ctx context.Context, key Key, signal string) error {
	_, err := c.do(ctx, request{Verb: verbKill, Key: key, Signal: signal}, nil, nil)
	return err
}

// Release makes the keeper forget an instance, for its destruction: log, pipes and pidfd are closed. A process that
// still runs is killed with its cgroup and reaped. Then sandboxes are dropped as Forget does it. Releasing an unknown instance is no error.
func (c *Client) Release(ctx context.Context, key Key, sandboxes ...string) error {
	_, err := c.do(ctx, request{Verb: verbRelease, Key: key, Sandboxes: sandboxes}, nil, nil)
	return err
}

// Sandbox gives the namespaces that are kept for a key, by kind; none if there are none. The caller closes them.
func (c *Client) Sandbox(ctx context.Context, key string) (Sandbox, map[string]*os.File, error) {
	resp, files, err := c.ask(ctx, request{Verb: verbSandbox, Key: Key{Name: key}}, nil, nil)
	if err == nil && len(files) != len(resp.Sandbox.Kinds) {
		err = fmt.Errorf("cannot take over the namespaces of %q: %w", key, errFrame)
	}
	if err != nil {
		closeAll(files)
		return Sandbox{}, nil, err
	}
	byKind := map[string]*os.File{}
	for i, kind := range resp.Sandbox.Kinds {
		byKind[kind] = files[i]
	}
	return resp.Sandbox, byKind, nil
}

// Keep keeps a sandbox before the first start in it, so that another start finds it; files are its namespaces by kind, and stay the caller's.
func (c *Client) Keep(ctx context.Context, s Sandbox, files map[string]*os.File) error {
	ordered := make([]*os.File, len(s.Kinds))
	for i, kind := range s.Kinds {
		ordered[i] = files[kind]
	}
	_, err := c.do(ctx, request{Verb: verbKeep, Start: startHeader{Sandbox: s}}, nil, ordered)
	return err
}

// Forget drops a sandbox: its namespaces end with the last process in them.
func (c *Client) Forget(ctx context.Context, key string) error {
	_, err := c.do(ctx, request{Verb: verbForget, Key: Key{Name: key}}, nil, nil)
	return err
}

// List shows every instance the keeper knows, in order of name and instance.
func (c *Client) List(ctx context.Context) ([]Process, error) {
	resp, err := c.do(ctx, request{Verb: verbList}, nil, nil)
	return resp.Processes, err
}

// Upgrade makes the keeper execute exe in its place: same pid, children and descriptors. It returns when the successor
// answers. After an error the old keeper works on. exe is best a sealed copy; see Sealed.
func (c *Client) Upgrade(ctx context.Context, exe *os.File) error {
	_, err := c.do(ctx, request{Verb: verbUpgrade}, nil, []*os.File{exe})
	return err
}

// Close ends the client: its channels of events are closed, it starts no keeper any more, and a new request is fs.ErrClosed. Requests under way
// and what they have made, such as sessions, end by themselves. It may be repeated.
func (c *Client) Close() error {
	c.end()
	c.dropIdle()
	return nil
}

// dropIdle closes the idle connections.
func (c *Client) dropIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.idle {
		conn.Close()
	}
	c.idle = nil
}

// do is ask for requests that are answered without files.
func (c *Client) do(ctx context.Context, req request, body []byte, files []*os.File) (response, error) {
	resp, extra, err := c.ask(ctx, req, body, files)
	closeAll(extra)
	return resp, err
}

// ask sends a request, again over a new connection when one breaks, and returns the keeper's answer with its files, or its error.
func (c *Client) ask(ctx context.Context, req request, body []byte, files []*os.File) (response, []*os.File, error) {
	req.Protocol = protocol
	var last error
	for range attempts {
		conn, err := c.connect(ctx)
		if err != nil {
			return response{}, nil, err
		}
		resp, back, err := askOver(ctx, conn, req, body, files)
		if !errors.Is(err, errHungUp) {
			c.park(conn)
			return resp, back, err
		}
		conn.Close()
		if ctx.Err() != nil {
			return response{}, nil, unanswered(ctx)
		}
		last = err
		c.dropIdle() // the idle connections lead to the same dead keeper
	}
	return response{}, nil, fmt.Errorf("cannot %s: %w", req.Verb, last)
}

// askOnce is ask of one keeper, over a connection of its own.
func (c *Client) askOnce(ctx context.Context, req request, body []byte, files []*os.File) (response, []*os.File, error) {
	req.Protocol = protocol
	conn, err := c.fresh(ctx)
	if err != nil {
		return response{}, nil, err
	}
	defer conn.Close()
	resp, back, err := askOver(ctx, conn, req, body, files)
	if errors.Is(err, errHungUp) && ctx.Err() != nil {
		err = unanswered(ctx)
	}
	return resp, back, err
}

// unanswered is why an ended context has no answer.
func unanswered(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("the keeper has not answered in time: %w", cause)
	}
	return cause
}

// errHungUp is a connection that broke.
var errHungUp = errors.New("the keeper hung up")

// askOver asks over a connection. The error is errHungUp or the keeper's.
func askOver(ctx context.Context, conn *net.UnixConn, req request, body []byte, files []*os.File) (response, []*os.File, error) {
	resp, back, err := exchange(ctx, conn, req, body, files)
	switch {
	case err != nil:
		return response{}, nil, fmt.Errorf("%w: %w", errHungUp, err)
	case resp.Error != nil:
		closeAll(back)
		return response{}, nil, resp.Error
	}
	return resp, back, nil
}

// exchange sends one request and waits for its answer as long as ctx lasts.
func exchange(ctx context.Context, conn *net.UnixConn, req request, body []byte, files []*os.File) (resp response, back []*os.File, err error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() && err == nil {
			err = context.Cause(ctx) // the deadline may already stand: the connection is spent
		}
		if err != nil {
			closeAll(back)
			back = nil
		}
	}()
	if err := send(conn, req, body, files); err != nil {
		return response{}, nil, err
	}
	_, back, err = receive(conn, &resp)
	return resp, back, err
}

// connect takes an idle connection or makes one, starting a keeper when there is none and the client may.
func (c *Client) connect(ctx context.Context) (*net.UnixConn, error) {
	if c.life.Err() != nil {
		return nil, fmt.Errorf("cannot ask the keeper: the client is closed: %w", fs.ErrClosed)
	}
	if conn := c.unpark(); conn != nil {
		return conn, nil
	}
	return c.fresh(ctx)
}

// fresh makes a connection, starting a keeper when there is none and the client may.
func (c *Client) fresh(ctx context.Context) (*net.UnixConn, error) {
	conn, err := dial(ctx, c.cfg)
	if err == nil || !c.launch || !absent(err) || c.life.Err() != nil {
		return conn, err
	}
	if failed := launch(ctx, c.cfg); failed != nil {
		// Another client's keeper may have been faster.
		if conn, err := dial(ctx, c.cfg); err == nil {
			return conn, nil
		}
		return nil, failed
	}
	return dial(ctx, c.cfg)
}

// park keeps a connection for the next request.
func (c *Client) park(conn *net.UnixConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) >= maxIdle || c.life.Err() != nil {
		conn.Close()
		return
	}
	c.idle = append(c.idle, conn)
}

// unpark takes an idle connection, nil if there is none.
func (c *Client) unpark() *net.UnixConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) == 0 {
		return nil
	}
	conn := c.idle[len(c.idle)-1]
	c.idle = c.idle[:len(c.idle)-1]
	return conn
}

// dial connects to the keeper's socket.
func dial(ctx context.Context, cfg Config) (*net.UnixConn, error) {
	path, release, err := shortPath(cfg.path(socketFile))
	if err != nil {
		return nil, fmt.Errorf("cannot reach the keeper: %w", err)
	}
	defer release()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // the dialer does not tell it
	}
	if err != nil {
		return nil, fmt.Errorf("cannot reach the keeper: %w", err)
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return u, nil
}
