package seccomp_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
)

func listen(t *testing.T) (string, *net.UnixListener) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return path, l
}

// A listener comes as one message with one descriptor, and the connection ends.
func TestSendListener(t *testing.T) {
	path, l := listen(t)
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	large := make([]byte, 300_000) // more than a socket's buffer takes at once
	for i := range large {
		large[i] = 'x'
	}
	state := `{"ociVersion":"1.2.1","id":"web","status":"creating","pid":42,"bundle":"` + string(large) + `"}`
	done := make(chan error, 1)
	go func() {
		done <- seccomp.SendListener(context.Background(), seccomp.Listener{Path: path, Metadata: "web=1"}, []byte(state), file)
	}()
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	first, rights := make([]byte, 1<<20), make([]byte, 256)
	n, m, _, _, err := conn.ReadMsgUnix(first, rights)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(append(first[:n], rest...), &got); err != nil {
		t.Fatal(err)
	}
	if s, _ := got["state"].(map[string]any); s["bundle"] != string(large) {
		t.Error("the state is another one")
	}
	delete(got, "state")
	if want := (map[string]any{"ociVersion": "1.2.1", "pid": 42.0, "metadata": "web=1", "fds": []any{"seccompFd"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d control messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("descriptors %v, %v", fds, err)
	}
	defer unix.Close(fds[0])
	var sent, received unix.Stat_t
	if err := errors.Join(unix.Fstat(int(file.Fd()), &sent), unix.Fstat(fds[0], &received)); err != nil || sent.Ino != received.Ino {
		t.Errorf("another file came: %v", err)
	}
}

func TestSendListenerFails(t *testing.T) {
	path, _ := listen(t)
	deaf := func() context.Context { // nobody accepts, and the message is larger than the buffer
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return ctx
	}
	for what, c := range map[string]struct {
		ctx         context.Context
		path, state string
		is          error
	}{
		"nobody listens":   {context.Background(), path + "x", `{}`, unix.ENOENT},
		"no state":         {context.Background(), path, `[`, nil},
		"nobody waits any": {deaf(), path, `{}`, context.Canceled},
	} {
		err := seccomp.SendListener(c.ctx, seccomp.Listener{Path: c.path}, []byte(c.state), os.Stdin)
		if err == nil || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
