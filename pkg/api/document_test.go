package api_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// richAgent is an agent that has something to say to every question.
func richAgent(t *testing.T) *apitest.Agent {
	t.Helper()
	agent := apitest.New()
	agent.Put(richObject(t))
	off := object("off")
	off.Status.Phase = spec.PhaseStopped
	agent.Put(off)
	agent.Put(spec.Object{Metadata: spec.ObjectMetadata{Metadata: spec.Metadata{Name: "lost"}}, Status: spec.Status{Phase: spec.PhasePending}})
	now := time.Now()
	agent.SetStats(spec.Stats{
		Name: "web", Instance: 1, Time: now, CPU: &spec.CPUStats{UsageUsec: 5}, Memory: &spec.MemoryStats{Current: 1 << 20, Max: spec.NewLimit(1 << 30)},
		Pids: &spec.PidsStats{Current: 1}, IO: []spec.DeviceStats{{Device: "8:0", RBytes: 1}}, Hugetlb: []spec.HugetlbStats{{Size: "2MB"}},
		Network: []spec.InterfaceStats{{Name: "eth0"}}, Pressure: &spec.PressureStats{CPU: spec.PSI{Some: spec.PSILine{Avg10: 0.5}}},
	}, spec.Process{Pid: 7, ContainerPid: 1, PPid: 1, State: "S", StartedAt: now, Comm: "sh", Command: []string{"sh"}})
	agent.SetDrift("web", spec.Drift{Field: "hostname", Found: "db", Wanted: "web", Repairable: true})
	agent.SetSources(api.Source{Name: "m", Path: "/m", Hash: "1", OK: true, Objects: 2, Problems: []string{"a.yaml:1:1: no"}, ReadAt: now, Blocked: []string{"off"}})
	agent.AddEvent(api.Event{Name: "web", Reason: "Started", Time: now, Count: 2, Warning: true})
	agent.AddLog("web", api.LogLine{Time: now, Stream: "stdout", Bytes: []byte("hello\n")})
	agent.AddImage(spec.Image{
		Container: "web", ID: "20260101-000000001", CreatedAt: now, Cause: "by hand", Instance: 1, Hash: "h", Bytes: 3 << 20, Memory: 2 << 20,
		Frozen: spec.Duration(time.Millisecond), Spec: spec.Container{APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: "web"}, Spec: richObject(t).Spec},
	}, "memory")
	if _, err := agent.Run("web", spec.Exec{Command: []string{"cat"}, Stdin: true}); err != nil {
		t.Fatal(err)
	}
	return agent
}

// richObject is the largest example as a container that runs, with everything that a status can say.
func richObject(t *testing.T) spec.Object {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "spec", "testdata", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	documents, problems := spec.Decode("full.yaml", text)
	if len(problems) > 0 || len(documents) == 0 {
		t.Fatal(problems)
	}
	now := time.Now()
	exit := spec.Exit{Code: 137, Signal: "SIGKILL", Reason: spec.ExitOOMKilled, OOMKilled: true, Pid: 6, StartedAt: now, FinishedAt: now}
	o := object("web")
	o.APIVersion, o.Kind, o.Spec = spec.APIVersion, spec.KindContainer, documents[0].Container.Spec
	o.Metadata.Labels, o.Metadata.Generation = map[string]string{"app": "web"}, 2
	o.Status = spec.Status{
		Phase: spec.PhaseRunning, Message: "it runs", ObservedGeneration: 2, Source: spec.Source{Path: "/m/web.yaml", Line: 3},
		Conditions: []spec.Condition{{Type: spec.ConditionReady, Status: spec.True, Reason: "Running", LastTransitionTime: now}},
		Container: spec.ContainerStatus{
			Instance: 1, Pid: 7, Ready: true, StartedAt: now, RestartCount: 1, LastExit: &exit, OOMKills: 1, Cgroup: "/reconciler/web/1", Resources: o.Spec.Resources,
		},
		Rollout: spec.Rollout{Generation: 2, InForce: 1, State: spec.RolloutRolledBack, By: spec.ReturnedByHealth, Since: now},
		Job:     spec.JobStatus{LastScheduled: now, Next: now, LeftOut: 1, Runs: []spec.Exit{exit}},
		Configs: []spec.ConfigStatus{{Name: "c", Hash: "1", Keys: map[string]string{"a": "2"}, Found: true, Seen: true}},
		Pending: []spec.PendingAction{{Verb: "Update", Cause: "memory.max"}},
	}
	return o
}

// document is the OpenAPI document as a server gives it.
func document(t *testing.T, c *http.Client) schema {
	t.Helper()
	response, err := c.Get("http://agent/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var root map[string]any
	if err := json.NewDecoder(response.Body).Decode(&root); err != nil {
		t.Fatal(err)
	}
	return schema{root}
}

// driver asks a server, and holds each answer to the document.
type driver struct {
	*testing.T
	path   string
	doc    schema
	driven map[string]int // answers that went well, by operation
}

// ask is one request and how it should be answered.
type ask struct {
	method, path, body string
	status             int
	lines              int // of a stream, after which the caller leaves
}

// operation is what the document says of a request.
func (d *driver) operation(method, target string) map[string]any {
	d.Helper()
	path, _, _ := strings.Cut(target, "?")
	for template, item := range d.doc.root["paths"].(map[string]any) {
		pattern := "^" + regexp.MustCompile(`\{\w+\}`).ReplaceAllString(template, "[^/]+") + "$"
		op, ok := item.(map[string]any)[strings.ToLower(method)].(map[string]any)
		if ok && regexp.MustCompile(pattern).MatchString(path) {
			return op
		}
	}
	d.Fatalf("%s %s is not in the document", method, path)
	return nil
}

// do asks.
func (d *driver) do(a ask) {
	d.Helper()
	op := d.operation(a.method, a.path)
	conn, err := net.Dial("unix", d.path)
	if err != nil {
		d.Fatal(err)
	}
	defer conn.Close()
	upgrade := ""
	if a.status == http.StatusSwitchingProtocols {
		upgrade = "Connection: Upgrade\r\nUpgrade: " + api.SessionProtocol + "\r\n"
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: agent\r\n%sContent-Length: %d\r\n\r\n%s", a.method, a.path, upgrade, len(a.body), a.body)
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: a.method})
	if err != nil {
		d.Fatalf("%s %s: %v", a.method, a.path, err)
	}
	if response.StatusCode != a.status {
		text, _ := io.ReadAll(response.Body)
		d.Fatalf("%s %s: got %d %s, want %d", a.method, a.path, response.StatusCode, text, a.status)
	}
	if err := d.answer(op, response, a.lines); err != nil {
		d.Errorf("%s %s: %d: %v", a.method, a.path, a.status, err)
	}
	if a.body != "" && a.status < 400 {
		d.checkBody(op, a)
	}
	if a.status < 300 {
		d.driven[op["operationId"].(string)]++
	}
}

// answer holds a response to the document: its status, content type and body.
func (d *driver) answer(op map[string]any, response *http.Response, lines int) error {
	said, ok := op["responses"].(map[string]any)[strconv.Itoa(response.StatusCode)].(map[string]any)
	if !ok {
		return fmt.Errorf("the document knows no such status")
	}
	if response.Header.Get("Request-Id") == "" {
		return fmt.Errorf("no Request-Id")
	}
	if said["content"] == nil {
		return nil
	}
	contentType, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	content, ok := said["content"].(map[string]any)[contentType].(map[string]any)
	if !ok {
		return fmt.Errorf("the document knows no content type %q", contentType)
	}
	of, ok := content["schema"].(map[string]any)
	if !ok {
		_, err := io.Copy(io.Discard, response.Body)
		return err
	}
	reader := json.NewDecoder(response.Body)
	for range max(lines, 1) {
		var v any
		if err := reader.Decode(&v); err != nil {
			return err
		}
		if err := d.doc.check("", of, v); err != nil {
			return err
		}
		if response.StatusCode >= 400 {
			word := v.(map[string]any)["error"].(map[string]any)["reason"]
			if reasons := said["x-reasons"].([]any); !slices.Contains(reasons, word) {
				return fmt.Errorf("the reason %v is none of %v", word, reasons)
			}
		}
	}
	return nil
}

// checkBody holds what was sent, and taken, to the document.
func (d *driver) checkBody(op map[string]any, a ask) {
	d.Helper()
	content := op["requestBody"].(map[string]any)["content"].(map[string]any)
	of, ok := content["application/json"].(map[string]any)
	if !ok {
		return
	}
	v, err := decoded([]byte(a.body))
	if err == nil {
		err = d.doc.check("", of["schema"].(map[string]any), v)
	}
	if err != nil {
		d.Errorf("%s %s: the body that was taken: %v", a.method, a.path, err)
	}
}

// TestDocument asks a real server for everything in the table of routes, in many ways, and holds each answer to the document that it serves.
func TestDocument(t *testing.T) {
	path := serve(t, richAgent(t))
	d := &driver{t, path, document(t, httpClient(path)), map[string]int{}}
	const image = "/v1/images/web/20260101-000000001"
	archive := `{"image":{"container":"other","id":"20260101-000000009","createdAt":"2026-01-01T00:00:00Z"},"bytes":1}` + "\nx"
	for _, a := range []ask{
		{"GET", "/v1/openapi.json", "", 200, 0},
		{"GET", "/v1/version", "", 200, 0},
		{"GET", "/v1/containers", "", 200, 0},
		{"GET", "/v1/containers?watch=1", "", 200, 4},
		{"GET", "/v1/containers?watch=1&resourceVersion=1", "", 200, 2},
		{"GET", "/v1/containers?watch=1&resourceVersion=99", "", 410, 0},
		{"GET", "/v1/containers?watch=1&resourceVersion=x", "", 400, 0},
		{"GET", "/v1/containers/web", "", 200, 0},
		{"GET", "/v1/containers/lost", "", 200, 0},
		{"GET", "/v1/containers/nobody", "", 404, 0},
		{"GET", "/v1/containers/web/stats", "", 200, 0},
		{"GET", "/v1/containers/off/stats", "", 409, 0},
		{"GET", "/v1/containers/web/processes", "", 200, 0},
		{"GET", "/v1/containers/web/drift", "", 200, 0},
		{"POST", "/v1/containers/web/drift", "{}", 200, 0},
		{"POST", "/v1/containers/web/drift", `{"fast":true}`, 400, 0},
		{"GET", "/v1/containers/web/revisions", "", 200, 0},
		{"GET", "/v1/containers/nobody/revisions", "", 404, 0},
		{"GET", "/v1/containers/web/logs?tail=1&timestamps=1", "", 200, 0},
		{"GET", "/v1/containers/web/logs?tail=x", "", 400, 0},
		{"POST", "/v1/containers/web/exec", `{"command":["true"],"env":{"A":"b"},"detach":true}`, 200, 0},
		{"POST", "/v1/containers/web/exec", `{"command":["true"],"capabilities":{"drop":["ALL"]},"size":{"rows":3}}`, 101, 0},
		{"POST", "/v1/containers/web/exec", `{"command":["/nowhere"]}`, 400, 0},
		{"POST", "/v1/containers/web/exec", `{"command":["/nowhere"],"detach":true}`, 422, 0},
		{"POST", "/v1/containers/off/exec", `{"command":["true"],"detach":true}`, 409, 0},
		{"POST", "/v1/containers/web/attach", `{}`, 101, 0},
		{"POST", "/v1/containers/off/attach", "", 400, 0},
		{"GET", "/v1/events", "", 200, 0},
		{"GET", "/v1/events?watch=1&name=web&since=0", "", 200, 1},
		{"GET", "/v1/events?watch=1&agent=old", "", 410, 0},
		{"GET", "/v1/stats?name=web", "", 200, 0},
		{"GET", "/v1/stats?watch=1&interval=100ms", "", 200, 2},
		{"GET", "/v1/stats?name=nobody", "", 404, 0},
		{"GET", "/v1/sources", "", 200, 0},
		{"GET", "/v1/config", "", 200, 0},
		{"GET", "/v1/plan", "", 200, 0},
		{"POST", "/v1/reload", "", 200, 0},
		{"GET", "/v1/features", "", 200, 0},
		{"POST", "/v1/prune", `{"source":"m","hash":"1"}`, 200, 0},
		{"POST", "/v1/prune", `{"source":"m","hash":"2"}`, 404, 0},
		{"POST", "/v1/prune", `{"sauce":"m"}`, 400, 0},
		{"POST", "/v1/prune", `"` + strings.Repeat("x", 1<<20) + `"`, 413, 0},
		{"POST", "/v1/containers/web/pause", `{"for":"1h"}`, 200, 0},
		{"POST", "/v1/containers/web/resume", "", 200, 0},
		{"POST", "/v1/containers/web/stop", `{}`, 200, 0},
		{"POST", "/v1/containers/web/start", "", 200, 0},
		{"POST", "/v1/containers/web/suspend", `{"for":"1m"}`, 200, 0},
		{"POST", "/v1/containers/web/clear", "", 200, 0},
		{"POST", "/v1/containers/web/restart", "", 200, 0},
		{"POST", "/v1/containers/web/kill", `{"signal":"SIGHUP"}`, 200, 0},
		{"POST", "/v1/containers/web/undo", `{"generation":1}`, 200, 0},
		{"POST", "/v1/containers/nobody/undo", "", 404, 0},
		{"POST", "/v1/containers/web/checkpoint", `{"keep":true,"cause":"test"}`, 200, 0},
		{"POST", "/v1/containers/off/checkpoint", "", 409, 0},
		{"POST", "/v1/containers/web/restore", `{"image":"web/20260101-000000001"}`, 200, 0},
		{"POST", "/v1/containers/off/restore", "", 404, 0},
		{"GET", "/v1/images?container=web", "", 200, 0},
		{"GET", "/v1/images?container=../x", "", 400, 0},
		{"GET", image, "", 200, 0},
		{"GET", "/v1/images/web/20270101-000000001", "", 404, 0},
		{"POST", image + "/keep", `{"keep":false}`, 200, 0},
		{"POST", image + "/verify", "{}", 200, 0},
		{"GET", image + "/export", "", 200, 0},
		{"GET", image + "/export?compress=1", "", 200, 0},
		{"POST", "/v1/images?name=copy", archive, 200, 0},
		{"POST", "/v1/images", "hello\n", 400, 0},
		{"DELETE", image, "", 200, 0},
		{"POST", "/v1/drain", `{"timeout":"1m","checkpoint":true}`, 200, 0},
		{"POST", "/v1/undrain", "", 200, 0},
		{"POST", "/v1/shutdown", `{"timeout":"1m"}`, 200, 0},
	} {
		d.do(a)
	}
	for _, route := range api.Routes() {
		if d.driven[route.ID] == 0 {
			t.Errorf("%s %s was never asked for, or never answered", route.Method, route.Path)
		}
		if op := d.operation(route.Method, route.Path); op["operationId"] != route.ID || op["x-role"] != route.Role.String() {
			t.Errorf("%s %s: the document has it as %v for %v", route.Method, route.Path, op["operationId"], op["x-role"])
		}
	}
}

// The validator catches what it is there for.
func TestSchemaCatches(t *testing.T) {
	text, err := api.Document()
	if err != nil {
		t.Fatal(err)
	}
	root, err := decoded(text)
	if err != nil {
		t.Fatal(err)
	}
	s := schema{root.(map[string]any)}
	good, err := json.Marshal(richObject(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ old, broken string }{
		{`"phase":"Running"`, `"phase":"Walking"`},
		{`"phase":"Running"`, `"phase":7`},
		{`"phase":"Running",`, ``},
		{`"phase":"Running"`, `"phase":"Running","more":1`},
		{`"generation":2`, `"generation":2.5`},
		{`"resourceVersion":0`, `"resourceVersion":-1`},
		{`"command":[`, `"command":[7,`},
		{`"app":"web"`, `"app":[]`},
	} {
		bad := bytes.Replace(good, []byte(test.old), []byte(test.broken), 1)
		v, err := decoded(bad)
		if err != nil || bytes.Equal(bad, good) {
			t.Fatalf("%s: %v", test.old, err)
		}
		if s.check("", map[string]any{"$ref": "#/components/schemas/Object"}, v) == nil {
			t.Errorf("%s in place of %s is taken", test.broken, test.old)
		}
	}
}
