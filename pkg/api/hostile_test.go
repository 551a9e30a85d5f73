package api_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// openTo lets everybody reach a socket.
func openTo(t *testing.T, path string) {
	t.Helper()
	for p := path; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
}

// exchangeRaw sends bytes and reads one answer.
func exchangeRaw(t *testing.T, conn net.Conn, text string) *http.Response {
	t.Helper()
	go func() { _, _ = io.WriteString(conn, text) }() // which may be longer than anybody reads
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%.60q: %v", text, err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// alive makes sure that a server answers others.
func alive(t *testing.T, path string) {
	t.Helper()
	response, err := httpClient(path).Get("http://agent/v1/version")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("others get %v, %v", response, err)
	}
	response.Body.Close()
}

// A body of 100 MB is refused everywhere but where archives come in, with most of it unread.
func TestLargeBodies(t *testing.T) {
	path := serve(t, richAgent(t))
	for _, route := range api.Routes() {
		if route.Body == nil || route.Archive {
			continue
		}
		conn := dial(t, path)
		target := strings.NewReplacer("{name}", "web", "{id}", "20260101-000000001").Replace(route.Path)
		upgrade := "Connection: Upgrade\r\nUpgrade: " + api.SessionProtocol + "\r\n"
		if !route.Session {
			upgrade = ""
		}
		fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: agent\r\n%sContent-Length: %d\r\n\r\n", route.Method, target, upgrade, 100<<20)
		go func() {
			piece := []byte(strings.Repeat(" ", 1<<20))
			for range 100 {
				if _, err := conn.Write(piece); err != nil {
					return
				}
			}
		}()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: got %v, %v", route.Path, response, err)
		}
		conn.Close()
	}
	alive(t, path)
}

// What is no HTTP is refused, or hung up on, and harms nobody.
func TestBadRequests(t *testing.T) {
	agent := richAgent(t)
	path := serve(t, agent)
	for name, text := range map[string]string{
		"no HTTP":             "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"negative length":     "POST /v1/containers/web/stop HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
		"no number":           "POST /v1/containers/web/stop HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\n",
		"two lengths":         "POST /v1/containers/web/stop HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"overflowing length":  "POST /v1/containers/web/stop HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"chunks of nonsense":  "POST /v1/containers/web/stop HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"unknown encoding":    "POST /v1/containers/web/stop HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
		"no host":             "GET /v1/version HTTP/1.1\r\n\r\n",
		"line feed in a name": "GET /v1/version HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n",
		"large header":        "GET /v1/version HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
		"another protocol":    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		conn := dial(t, path)
		if response := exchangeRaw(t, conn, text); response.StatusCode < 400 {
			t.Errorf("%s: got %s", name, response.Status)
		}
	}
	// Less than was announced is no request.
	conn := dial(t, path)
	_, _ = io.WriteString(conn, "POST /v1/containers/web/kill HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{\"signal\":")
	_ = conn.(*net.UnixConn).CloseWrite()
	if answer, _ := io.ReadAll(conn); strings.Contains(string(answer), "200 OK") {
		t.Errorf("half a body is taken: %s", answer)
	}
	if asked := agent.Asked(); len(asked) != 0 {
		t.Errorf("the agent was asked %q", asked)
	}
	alive(t, path)
}

// Requests that are sent ahead are answered in their order; a watch among them holds up what its sender sends after it and nobody else.
func TestPipelining(t *testing.T) {
	path := serve(t, richAgent(t))
	conn := dial(t, path)
	const n = 200
	_, err := io.WriteString(conn, strings.Repeat("GET /v1/version HTTP/1.1\r\nHost: a\r\n\r\nPOST /v1/containers/nobody/stop HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", n)+
		"GET /v1/containers?watch=1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /v1/containers/web/stop HTTP/1.1\r\nHost: a\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	for i := range 2 * n {
		response, err := http.ReadResponse(reader, nil)
		if want := []int{200, 404}[i%2]; err != nil || response.StatusCode != want {
			t.Fatalf("answer %d is %v, %v, want %d", i, response, err, want)
		}
		_, _ = io.Copy(io.Discard, response.Body)
	}
	if response, err := http.ReadResponse(reader, nil); err != nil || response.StatusCode != 200 {
		t.Errorf("got %v, %v", response, err)
	}
	alive(t, path)
}

// No path leads anywhere but to a route.
func TestRandomPaths(t *testing.T) {
	agent := richAgent(t)
	path := serve(t, agent)
	pieces := []string{"/", "v1", "containers", "web", "images", "logs", "exec", "..", ".", "%2e%2e", "%2f", "%00", "{name}", "stats", "\xff", "?watch=1", "?", ";", "openapi.json", "*", "etc/passwd", "~", "%"}
	random := rand.New(rand.NewPCG(1, 2))
	methods := []string{"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW"}
	conn, reader := net.Conn(nil), (*bufio.Reader)(nil)
	statuses := map[int]int{}
	for range 10_000 {
		if conn == nil {
			conn = dial(t, path)
			reader = bufio.NewReader(conn)
		}
		target := "/"
		for range random.IntN(8) {
			target += pieces[random.IntN(len(pieces))] + []string{"", "/"}[random.IntN(2)]
		}
		method := methods[random.IntN(len(methods))]
		if strings.Contains(target, "watch=1") || method == "POST" && strings.Contains(target, "web") {
			target = "/v2" + target
		}
		fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", method, target)
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%s %q: %v", method, target, err)
		}
		text, err := io.ReadAll(response.Body)
		statuses[response.StatusCode]++
		if err != nil || response.StatusCode >= 500 || response.StatusCode >= 400 && strings.Contains(string(text), "goroutine") {
			t.Fatalf("%s %q: %d %s, %v", method, target, response.StatusCode, text, err)
		}
		if response.Close {
			conn.Close()
			conn = nil
		}
	}
	if statuses[404] < 1000 {
		t.Errorf("got %v", statuses)
	}
	if asked := agent.Asked(); len(asked) != 0 {
		t.Errorf("the agent was asked %q", asked)
	}
}

// A caller who sends nothing, or drop by drop, is hung up on, and others do not notice.
func TestSlowLoris(t *testing.T) {
	path := serve(t, richAgent(t))
	for range 100 {
		conn := dial(t, path)
		_, _ = io.WriteString(conn, "GET /v1/ver")
		go func() {
			for {
				if _, err := io.WriteString(conn, "x"); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		}()
	}
	alive(t, path)
	conn := dial(t, path)
	_, _ = io.WriteString(conn, "GET /v1/version HTTP/1.1\r\nHost: a\r\nX: y")
	if answer, _ := io.ReadAll(conn); strings.Contains(string(answer), "200 OK") { // which comes to an end
		t.Errorf("got %s", answer)
	}
	alive(t, path)
}

// There are only so many watchers, and one who leaves makes room.
func TestWatchersAreBounded(t *testing.T) {
	path := serve(t, richAgent(t))
	var watchers []net.Conn
	for {
		conn := dial(t, path)
		if exchangeRaw(t, conn, "GET /v1/containers?watch=1 HTTP/1.1\r\nHost: a\r\n\r\n").StatusCode == http.StatusServiceUnavailable {
			break
		}
		if watchers = append(watchers, conn); len(watchers) > 1000 {
			t.Fatal("no bound")
		}
	}
	alive(t, path)
	watchers[0].Close()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if exchangeRaw(t, dial(t, path), "GET /v1/containers?watch=1 HTTP/1.1\r\nHost: a\r\n\r\n").StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a watcher that left makes no room")
		}
	}
}

// The agent waits for no reader: it forgets what one that does not read has missed, and tells it so when it reads again.
func TestReaderWhoDoesNotRead(t *testing.T) {
	agent := apitest.New()
	agent.Put(object("web"))
	path := serve(t, agent)
	slow := dial(t, path)
	response := exchangeRaw(t, slow, "GET /v1/containers?watch=1 HTTP/1.1\r\nHost: a\r\n\r\n")
	large := object("web")
	large.Metadata.Annotations = map[string]string{"note": strings.Repeat("x", 64<<10)}
	for i := range 64 { // more than any socket's buffer holds, and than is remembered
		large.Status.Phase = []spec.Phase{spec.PhaseRunning, spec.PhasePaused}[i%2]
		agent.Put(large)
	}
	alive(t, path)
	text, _ := io.ReadAll(response.Body)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, `"reason":"Expired"`) {
		t.Errorf("%d lines, the last is %.200q", len(lines), last)
	}
}
