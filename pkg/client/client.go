// Package client speaks to an agent over its unix socket: one method per question, typed errors, and watches that resume by
// themselves. It refuses to know how answers are drawn and what the agent does with requests.
//
// Every method takes a context, whose end ends it. Errors of the agent are *api.Error with a reason; ask with errors.Is for fs.ErrNotExist,
// fs.ErrPermission (another role is needed), fs.ErrInvalid, api.ErrConflict, api.ErrExpired, spec.ErrNotRunning and spec.ErrBusy, and for
// ErrNotRunning when no agent is there.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// maxError bounds how much of an error response is read.
const maxError = 1 << 20

// ErrNotRunning tells that no agent listens on the socket.
var ErrNotRunning = errors.New("no agent listens")

// Client speaks to the agent that listens on one socket. It is safe for use by many goroutines.
type Client struct{ socket string }

// New makes a client of the agent that listens on the unix socket at path. Each request has a connection of its own.
func New(path string) *Client { return &Client{socket: path} }

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", c.socket)
}

// Version asks who answers.
func (c *Client) Version(ctx context.Context) (v api.Version, err error) {
	return v, c.get(ctx, "/version", nil, &v)
}

// Document is the OpenAPI 3.1 document of the interface that this agent has.
func (c *Client) Document(ctx context.Context) (d json.RawMessage, err error) {
	return d, c.get(ctx, "/openapi.json", nil, &d)
}

// List is all containers, by name.
func (c *Client) List(ctx context.Context) (l api.List, err error) {
	return l, c.get(ctx, "/containers", nil, &l)
}

// Get is one container; fs.ErrNotExist when there is none of that name.
func (c *Client) Get(ctx context.Context, name string) (o spec.Object, err error) {
	return o, c.get(ctx, "/containers/"+url.PathEscape(name), nil, &o)
}

// Do asks for a verb without waiting for its effect: pause, resume, stop, start, suspend, clear or restart. What comes of it is seen by Watch.
func (c *Client) Do(ctx context.Context, name, verb string) (o spec.Object, err error) {
	return o, c.post(ctx, "/containers/"+url.PathEscape(name)+"/"+verb, nil, &o)
}

// Override is Do for pause, resume, start, stop, suspend and clear, for so long; 0 is until it is cleared.
func (c *Client) Override(ctx context.Context, name, verb string, lasts time.Duration) (o spec.Object, err error) {
	return o, c.post(ctx, "/containers/"+url.PathEscape(name)+"/"+verb, api.OverrideRequest{For: spec.Duration(lasts)}, &o)
}

// Revisions are the manifests of a container that are remembered, the newest last.
func (c *Client) Revisions(ctx context.Context, name string) (list []spec.Revision, err error) {
	return list, c.get(ctx, "/containers/"+url.PathEscape(name)+"/revisions", nil, &list)
}

// Undo puts the manifest of an earlier generation in force, for 0 the last that has proven itself.
func (c *Client) Undo(ctx context.Context, name string, generation int64) (o spec.Object, err error) {
	return o, c.post(ctx, "/containers/"+url.PathEscape(name)+"/undo", api.UndoRequest{Generation: generation}, &o)
}

// Kill sends a signal, by its name, to process 1 of a container.
func (c *Client) Kill(ctx context.Context, name, signal string) (o spec.Object, err error) {
	return o, c.post(ctx, "/containers/"+url.PathEscape(name)+"/kill", api.KillRequest{Signal: signal}, &o)
}

// Logs reads what a container wrote. The caller closes the reader.
func (c *Client) Logs(ctx context.Context, name string, options api.LogOptions) (io.ReadCloser, error) {
	return c.open(ctx, "/containers/"+url.PathEscape(name)+"/logs", options.Query())
}

// Stats is what one container uses and has used.
func (c *Client) Stats(ctx context.Context, name string) (s spec.Stats, err error) {
	return s, c.get(ctx, "/containers/"+url.PathEscape(name)+"/stats", nil, &s)
}

// Processes are the processes of one container, by number.
func (c *Client) Processes(ctx context.Context, name string) (p []spec.Process, err error) {
	return p, c.get(ctx, "/containers/"+url.PathEscape(name)+"/processes", nil, &p)
}

// Drift compares what runs of one container with all that the kernel lets one read back.
func (c *Client) Drift(ctx context.Context, name string) (d []spec.Drift, err error) {
	return d, c.get(ctx, "/containers/"+url.PathEscape(name)+"/drift", nil, &d)
}

// RepairDrift is Drift, and has the agent put back what can be.
func (c *Client) RepairDrift(ctx context.Context, name string) (d []spec.Drift, err error) {
	return d, c.post(ctx, "/containers/"+url.PathEscape(name)+"/drift", nil, &d)
}

// AllStats is what containers use and have used: all of them, or those that are named.
func (c *Client) AllStats(ctx context.Context, names ...string) (l api.StatsList, err error) {
	return l, c.get(ctx, "/stats", url.Values{"name": names}, &l)
}

// Events are the events kept with an ID above since, of one container unless name is "".
func (c *Client) Events(ctx context.Context, name string, since uint64) (e []api.Event, err error) {
	return e, c.get(ctx, "/events", eventQuery(name, since), &e)
}

// Configuration is what the agent runs with.
func (c *Client) Configuration(ctx context.Context) (f api.Configuration, err error) {
	return f, c.get(ctx, "/config", nil, &f)
}

// Reload has the agent read its configuration and all manifests anew, and is what the agent runs with then. One with problems is not in force: that is no error, but in its Problems.
func (c *Client) Reload(ctx context.Context) (f api.Configuration, err error) {
	return f, c.post(ctx, "/reload", nil, &f)
}

// Sources are the directories of manifests as the agent last read them.
func (c *Client) Sources(ctx context.Context) (s []api.Source, err error) {
	return s, c.get(ctx, "/sources", nil, &s)
}

// Plan is what the agent would do now.
func (c *Client) Plan(ctx context.Context) (p api.Plan, err error) {
	return p, c.get(ctx, "/plan", nil, &p)
}

// Features says what the node can do.
func (c *Client) Features(ctx context.Context) (f []api.Feature, err error) {
	return f, c.get(ctx, "/features", nil, &f)
}

// ConfirmPrune lets the blocked removals of a source go on, if its contents still have that hash.
func (c *Client) ConfirmPrune(ctx context.Context, source, hash string) (s []api.Source, err error) {
	return s, c.post(ctx, "/prune", api.PruneRequest{Source: source, Hash: hash}, &s)
}

func eventQuery(name string, since uint64) url.Values {
	return url.Values{"name": {name}, "since": {strconv.FormatUint(since, 10)}}
}

func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	body, err := c.open(ctx, path, query)
	if err != nil {
		return err
	}
	return c.decode(body, into)
}

func (c *Client) post(ctx context.Context, path string, from, into any) error {
	return c.call(ctx, http.MethodPost, path, from, into)
}

func (c *Client) call(ctx context.Context, method, path string, from, into any) error {
	var body bytes.Buffer
	if from != nil {
		if err := json.NewEncoder(&body).Encode(from); err != nil {
			return err
		}
	}
	answer, err := c.send(ctx, method, "/"+api.APIVersion+path, &body)
	if err != nil {
		return err
	}
	return c.decode(answer, into)
}

func (c *Client) decode(body io.ReadCloser, into any) error {
	defer body.Close()
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("cannot understand the agent on %s: %w", c.socket, err)
	}
	return nil
}

func (c *Client) open(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.send(ctx, http.MethodGet, "/"+api.APIVersion+path, nil)
}

// send asks, and gives the answer to be read until ctx ends. It does without http.Client, whose transport knows proxies and TLS: a quarter of a megabyte for nothing.
func (c *Client) send(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error) {
	request, err := http.NewRequest(method, "http://agent"+path, body)
	if err != nil {
		return nil, err
	}
	request.Close = true
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, c.unreachable(err)
	}
	a := &answer{ctx: ctx, conn: conn, stop: context.AfterFunc(ctx, func() { conn.Close() })}
	response, err := exchange(conn, request)
	if err != nil {
		a.Close()
		return nil, c.unreachable(cmp.Or(ctx.Err(), err))
	}
	a.body = response.Body
	if response.StatusCode == http.StatusOK {
		return a, nil
	}
	response.Body = a
	return nil, c.refused(response)
}

// answer is the body of a response, with its connection, which ends with ctx.
type answer struct {
	ctx  context.Context
	conn net.Conn
	body io.Reader
	stop func() bool
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	if err != nil && err != io.EOF {
		err = cmp.Or(a.ctx.Err(), err)
	}
	return n, err
}

func (a *answer) Close() error {
	a.stop()
	return a.conn.Close()
}

// refused reads why the agent refuses.
func (c *Client) refused(response *http.Response) error {
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxError))
	if err != nil {
		return c.unreachable(err)
	}
	return api.DecodeError(response.StatusCode, text)
}

// unreachable says what a person can do about an agent that does not answer.
func (c *Client) unreachable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &unreachable{
			error: fmt.Errorf("%w on %s", ErrNotRunning, c.socket),
			hint:  "start one with `reconciler run`, or say where it listens with --socket",
		}
	case errors.Is(err, fs.ErrPermission):
		return &unreachable{
			error: fmt.Errorf("cannot open %s: %w", c.socket, fs.ErrPermission),
			hint:  "use root, " + joining() + fmt.Sprintf("or have the agent run with --grant read=uid:%d", os.Getuid()),
		}
	}
	return fmt.Errorf("cannot reach the agent on %s: %w", c.socket, err)
}

// joining is the way by the group whose members may open the socket; "" where there is no such group, as without a package.
func joining() string {
	if _, err := user.LookupGroup(api.Group); err != nil {
		return ""
	}
	return "join the group " + api.Group + ", "
}

type unreachable struct {
	error
	hint string
}

func (u *unreachable) Unwrap() error { return u.error }
func (u *unreachable) Hint() string  { return u.hint }
