package api_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

// What is under way ends when its caller may not ask for it any more, sessions and streams; what a lower role may ask for goes on.
func TestGrantsEndStreams(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skip: needs root to become somebody else")
	}
	const who = 65534
	agent := richAgent(t)
	path := filepath.Join(t.TempDir(), "s")
	listener, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	openTo(t, path)
	server := api.New(api.Config{Agent: agent, Logs: agent, Node: agent, Log: logr.Discard(), Grants: api.Grants{{Role: api.Admin, ID: who}}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	begin := func(text string) *bufio.Reader {
		t.Helper()
		conn, err := dialAs(who, path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return begun(t, conn, text)
	}
	watch := begin("GET /v1/containers?watch=1 HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")
	session := begin("POST /v1/containers/web/attach HTTP/1.1\r\nHost: agent\r\nConnection: Upgrade\r\nUpgrade: " + api.SessionProtocol + "\r\n\r\n")

	server.SetGrants(api.Grants{{Role: api.Read, ID: who}})
	if rest, err := io.ReadAll(session); err != nil || !strings.Contains(string(rest), "taken away") {
		t.Errorf("the session of who is no admin any more: %q, %v", rest, err)
	}
	agent.Put(object("late"))
	for line := ""; !strings.Contains(line, `"late"`); {
		if line, err = watch.ReadString('\n'); err != nil || strings.Contains(line, "taken away") {
			t.Fatalf("the watch of who may read: %q, %v", line, err)
		}
	}
	server.SetGrants(nil)
	if rest, err := io.ReadAll(watch); err != nil || !strings.Contains(string(rest), "taken away") {
		t.Errorf("the watch of who may do nothing any more: %q, %v", rest, err)
	}
}

// begun asks for a stream or a session, and gives what comes behind the first line.
func begun(t *testing.T, conn net.Conn, text string) *bufio.Reader {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") && !strings.Contains(line, " 101 ") {
		t.Fatalf("%q: %q, %v", text, line, err)
	}
	return r
}
