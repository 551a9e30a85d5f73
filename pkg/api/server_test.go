package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// serve starts a server and returns its socket.
func serve(t *testing.T, agent *apitest.Agent) string {
	t.Helper()
	return serveConfig(t, api.Config{
		Agent: agent, Logs: agent, Node: agent, Images: agent, Configuration: configuration, Reload: reload, Version: "test", Log: logr.Discard(),
	})
}

// reload has nothing to read.
func reload(context.Context) error { return nil }

// configuration has something of everything that an agent may run with.
func configuration() api.Configuration {
	return api.Configuration{
		APIVersion: spec.APIVersion, Kind: spec.KindAgentConfig, Spec: map[string]any{"manifests": []string{"/m"}, "audit": true, "manifestOwner": 7},
		Sources: map[string]string{"audit": "default"}, Restart: map[string]any{"runDir": "/r"}, Problems: []string{"c.yaml:1:1: no"},
		Files: []string{"/etc/c.yaml"}, ReadAt: time.Now(),
	}
}

func serveConfig(t *testing.T, config api.Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	server := api.New(config)
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return path
}

func httpClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) },
		DisableKeepAlives: true,
	}}
}

func object(name string) spec.Object {
	return spec.Object{
		Metadata: spec.ObjectMetadata{Metadata: spec.Metadata{Name: name}},
		Status:   spec.Status{Phase: spec.PhaseRunning},
	}
}

// refusal is a request and how it is refused.
type refusal struct {
	method, path, body string
	status             int
	reason             api.Reason
}

// check asks, and wants to be refused with a message.
func (want refusal) check(t *testing.T, c *http.Client) {
	t.Helper()
	request, err := http.NewRequest(want.method, "http://agent"+want.path, strings.NewReader(want.body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if e := problem(response); response.StatusCode != want.status || e.Reason != want.reason || e.Message == "" {
		t.Errorf("got %d %s %q, want %d %s", response.StatusCode, e.Reason, e.Message, want.status, want.reason)
	}
}

// problem reads the error that a response holds.
func problem(response *http.Response) *api.Error {
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return api.DecodeError(response.StatusCode, body)
}

// A watch alone tells all that is needed to go on where it broke, or to be told that it cannot: a bookmark names the agent that its version is of.
func TestBookmarkNamesAgent(t *testing.T) {
	agent := apitest.New()
	agent.Put(object("web"))
	follow := func(path, query string) (int, *json.Decoder) {
		t.Helper()
		response, err := httpClient(path).Get("http://agent/v1/containers?watch=1" + query)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		return response.StatusCode, json.NewDecoder(response.Body)
	}
	path := serve(t, agent)
	_, lines := follow(path, "")
	var change api.Change
	for change.Type != api.Bookmark {
		if err := lines.Decode(&change); err != nil {
			t.Fatal(err)
		}
	}
	goOn := fmt.Sprintf("&agent=%s&resourceVersion=%d", change.Agent, change.Object.Metadata.ResourceVersion)
	if status, _ := follow(path, goOn); change.Agent == "" || status != http.StatusOK {
		t.Errorf("%s: got %d", goOn, status)
	}
	if status, _ := follow(serve(t, agent), goOn); status != http.StatusGone {
		t.Errorf("another agent: %s: got %d", goOn, status)
	}
}

func TestErrors(t *testing.T) {
	agent := apitest.New()
	agent.Put(object("web"))
	agent.SetSources(api.Source{Name: "m", Hash: "1"})
	c := httpClient(serve(t, agent))
	for name, test := range map[string]refusal{
		"unknown path":        {"GET", "/v2/containers", "", 404, api.ReasonNotFound},
		"wrong method":        {"DELETE", "/v1/containers/web", "", 404, api.ReasonNotFound},
		"unknown container":   {"GET", "/v1/containers/nope", "", 404, api.ReasonNotFound},
		"hostile name":        {"GET", "/v1/containers/..%2f..%2fetc%00", "", 404, api.ReasonNotFound},
		"unknown verb":        {"POST", "/v1/containers/web/explode", "", 404, api.ReasonNotFound},
		"verb on nobody":      {"POST", "/v1/containers/nope/pause", "", 404, api.ReasonNotFound},
		"no JSON":             {"POST", "/v1/containers/web/kill", "{", 400, api.ReasonInvalid},
		"unknown field":       {"POST", "/v1/containers/web/kill", `{"sig":"SIGHUP"}`, 400, api.ReasonInvalid},
		"two values":          {"POST", "/v1/containers/web/kill", `{} {}`, 400, api.ReasonInvalid},
		"large body":          {"POST", "/v1/containers/web/kill", `{"signal":"` + strings.Repeat("x", 2<<20) + `"}`, 413, api.ReasonTooLarge},
		"deep body":           {"POST", "/v1/prune", strings.Repeat("[", 100000), 400, api.ReasonInvalid},
		"no source":           {"POST", "/v1/prune", "", 400, api.ReasonInvalid},
		"another hash":        {"POST", "/v1/prune", `{"source":"m","hash":"2"}`, 404, api.ReasonNotFound},
		"no number":           {"GET", "/v1/containers?watch=1&resourceVersion=x", "", 400, api.ReasonInvalid},
		"from the future":     {"GET", "/v1/containers?watch=1&resourceVersion=99", "", 410, api.ReasonExpired},
		"another life":        {"GET", "/v1/containers?watch=1&resourceVersion=1&agent=old", "", 410, api.ReasonExpired},
		"logs of nobody":      {"GET", "/v1/containers/nope/logs", "", 404, api.ReasonNotFound},
		"logs since whenever": {"GET", "/v1/containers/web/logs?since=yesterday", "", 400, api.ReasonInvalid},
		"negative tail":       {"GET", "/v1/containers/web/logs?tail=-2", "", 400, api.ReasonInvalid},
		"stats of nobody":     {"GET", "/v1/containers/nope/stats", "", 404, api.ReasonNotFound},
		"stats of nothing":    {"GET", "/v1/containers/web/stats", "", 409, api.ReasonConflict},
		"processes of no one": {"GET", "/v1/containers/nope/processes", "", 404, api.ReasonNotFound},
		"all but one":         {"GET", "/v1/stats?name=web&name=nope", "", 404, api.ReasonNotFound},
		"watch of no one":     {"GET", "/v1/stats?watch=1&name=nope", "", 404, api.ReasonNotFound},
		"no interval":         {"GET", "/v1/stats?watch=1&interval=often", "", 400, api.ReasonInvalid},
		"short interval":      {"GET", "/v1/stats?watch=1&interval=1ns", "", 400, api.ReasonInvalid},
		"unknown stream":      {"GET", "/v1/containers/web/logs?stream=stdlog", "", 400, api.ReasonInvalid},
	} {
		t.Run(name, func(t *testing.T) { test.check(t, c) })
	}
}

func TestSlowHeader(t *testing.T) {
	path := serve(t, apitest.New())
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /v1/version HTTP/1.1\r\nHost: x\r\nX: "); err != nil {
		t.Fatal(err)
	}
	if data, _ := io.ReadAll(conn); strings.Contains(string(data), "200 OK") {
		t.Errorf("half a request was answered: %q", data)
	}
}

func TestVerbs(t *testing.T) {
	agent := apitest.New()
	agent.Put(object("web"))
	stopped := object("off")
	stopped.Spec.State = spec.StateStopped
	agent.Put(stopped)
	c := httpClient(serve(t, agent))
	for _, path := range []string{"web/pause", "web/resume", "web/stop", "off/stop", "off/start", "off/clear", "web/restart", "web/kill"} {
		response, err := c.Post("http://agent/v1/containers/"+path, "application/json", nil)
		if err != nil {
			t.Fatal(err)
		}
		var o spec.Object
		if err := json.NewDecoder(response.Body).Decode(&o); err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("%s: got %d, %v", path, response.StatusCode, err)
		}
		response.Body.Close()
	}
	want := "override web Paused,override web,override web Stopped,override off,override off Running,override off,restart web,kill web SIGKILL"
	if got := strings.Join(agent.Asked(), ","); got != want {
		t.Errorf("asked %s\nwant  %s", got, want)
	}
}

func TestListenReplacesOnlyTheDead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	live, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("socket: got %v, %v, want nothing for others", info.Mode(), err)
	}
	if _, err := api.Listen(path); err == nil {
		t.Error("a socket that answers was replaced")
	}
	live.(*net.UnixListener).SetUnlinkOnClose(false)
	live.Close()
	again, err := api.Listen(path)
	if err != nil {
		t.Fatalf("a dead socket was not replaced: %v", err)
	}
	again.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Listen(file); err == nil {
		t.Error("a file was replaced")
	}
}

// TestStranger connects as a user who has no business here, past the mode of the socket.
func TestStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become a stranger")
	}
	path := serve(t, apitest.New())
	for p := path; p != "/tmp" && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := dialAs(65534, path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /v1/version HTTP/1.1\r\nHost: agent\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if e := problem(response); response.StatusCode != http.StatusForbidden || e.Hint() == "" {
		t.Errorf("a stranger got %d %s, want 403 with a hint", response.StatusCode, e)
	}
}

// dialAs connects from a thread of its own that has become another user, and ends with it.
func dialAs(uid int, path string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			err = errno
			return
		}
		conn, err = net.Dial("unix", path)
	}()
	<-done
	return conn, err
}
