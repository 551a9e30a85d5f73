package api_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/audit"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// What changes something is written down with who asked for what and what came of it, and nothing that is secret; what looks is not.
func TestAudit(t *testing.T) {
	dir := t.TempDir()
	log := audit.Open(dir, logr.Discard())
	agent := richAgent(t)
	path := serveConfig(t, api.Config{Agent: agent, Logs: agent, Node: agent, Images: agent, Log: logr.Discard(), Audit: log})
	c := httpClient(path)
	ask := func(method, path, body string) string {
		request, err := http.NewRequest(method, "http://agent"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.Header.Get("Request-Id")
	}
	ask("GET", "/v1/containers", "")
	ask("GET", "/v1/containers/web/logs", "")
	kill := ask("POST", "/v1/containers/web/kill", `{"signal":"SIGHUP"}`)
	ask("POST", "/v1/containers/web/exec", `{"command":["true"],"env":{"TOKEN":"hunter2"},"detach":true}`)
	begin(t, path, spec.Exec{Command: []string{"true"}, Env: map[string]string{"TOKEN": "hunter2"}}).over()
	ask("POST", "/v1/containers/nobody/stop", "")
	ask("POST", "/v1/prune", `{"sauce":"hunter2"}`)
	ask("GET", "/v1/images/web/20260101-000000001/export?compress=1", "")
	ask("POST", "/v1/images?name=web", "hunter2\n")
	ask("DELETE", "/v1/images/web/20260101-000000001", "")
	log.Close()

	text, err := os.ReadFile(filepath.Join(dir, audit.FileName))
	if err != nil || strings.Contains(string(text), "hunter2") {
		t.Errorf("%v; in the log is\n%s", err, text)
	}
	var got []audit.Record
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	want := []struct {
		path   string
		status int
		reason string
	}{
		{"/v1/containers/web/kill", 200, ""},
		{"/v1/containers/web/exec", 200, ""},
		{"/v1/containers/web/exec", 101, ""},
		{"/v1/containers/nobody/stop", 404, "NotFound"},
		{"/v1/prune", 400, "Invalid"},
		{"/v1/images/web/20260101-000000001/export", 200, ""},
		{"/v1/images", 400, "Invalid"},
		{"/v1/images/web/20260101-000000001", 200, ""},
	}
	if len(got) != len(want) {
		t.Fatalf("%d records:\n%s", len(got), text)
	}
	for i, w := range want {
		r := got[i]
		if r.Path != w.path || r.Status != w.status || r.Reason != w.reason || r.Role != "admin" || int(r.Pid) != os.Getpid() || r.Comm == "" || r.Took == "" || r.Time.IsZero() {
			t.Errorf("record %d is %+v, want %+v", i, r, w)
		}
	}
	if body := got[0].Body; got[0].ID != kill || string(body) != `{"signal":"SIGHUP"}` {
		t.Errorf("got %+v of request %s", got[0], kill)
	}
	if body := got[1].Body; !strings.Contains(string(body), `"TOKEN"`) {
		t.Errorf("the name of a variable is left out: %s", body)
	}
}

// Who is refused is written down, apart from what was done.
func TestAuditOfRefusals(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skip: needs root to become somebody else")
	}
	dir := t.TempDir()
	log := audit.Open(dir, logr.Discard())
	agent := richAgent(t)
	path := serveConfig(t, api.Config{
		Agent: agent, Logs: agent, Node: agent, Images: agent, Log: logr.Discard(), Audit: log, Grants: api.Grants{{Role: api.Read, ID: 65534}},
	})
	openTo(t, path)
	for _, line := range []string{"GET /v1/containers/web", "POST /v1/containers/web/stop", "GET /v1/images/web/20260101-000000001/export"} {
		conn, err := dialAs(65534, path)
		if err != nil {
			t.Fatal(err)
		}
		exchangeRaw(t, conn, line+" HTTP/1.1\r\nHost: agent\r\n\r\n")
		conn.Close()
	}
	log.Close()
	text, err := os.ReadFile(filepath.Join(dir, audit.RefusedName))
	if err != nil || strings.Count(string(text), `"status":403,"reason":"Forbidden"`) != 2 || strings.Count(string(text), "\n") != 2 ||
		strings.Count(string(text), `"uid":65534`) != 2 || strings.Count(string(text), `"role":"read"`) != 2 {
		t.Errorf("%v\n%s", err, text)
	}
	if asked := agent.Asked(); len(asked) != 0 {
		t.Errorf("the agent was asked %q", asked)
	}
}
