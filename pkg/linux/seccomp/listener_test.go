package seccomp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func listen(t *testing.T) (string, *net.UnixListener) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if err := l.SetDeadline(time.Now().Add(time.Minute)); err != nil { // if nobody comes
		t.Fatal(err)
	}
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
		done <- seccomp.SendListener(context.Background(), seccomp.Listener{Path: path, Metadata: "web=1"}, []byte(state), 43, file)
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
	if want := (map[string]any{"ociVersion": "1.2.1", "pid": 43.0, "metadata": "web=1", "fds": []any{"seccompFd"}}); !reflect.DeepEqual(got, want) {
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
		err := seccomp.SendListener(c.ctx, seccomp.Listener{Path: c.path}, []byte(c.state), 1, os.Stdin)
		if err == nil || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// asker is the value of prober that makes the test binary, which holds the listener of its own filter, send it to the socket
// in this variable and then make a call that waits for an answer.
const (
	asker       = "asker"
	socketOfAll = "RECONCILER_TEST_SOCKET"
)

func askAbove() {
	listener := os.NewFile(listenerFd, "listener")
	err := seccomp.SendListener(context.Background(), seccomp.Listener{Path: os.Getenv(socketOfAll)}, []byte(`{"ociVersion":"1.2.1","pid":1}`), 1, listener)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(os.Mkdir("/nonexistent/directory", 0o700))
}

// receive takes the listener from the next connection.
func receive(t *testing.T, l *net.UnixListener) int {
	t.Helper()
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rights := make([]byte, 256)
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 4096), rights)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d control messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("descriptors %v, %v", fds, err)
	}
	return fds[0]
}

// A call with SCMP_ACT_NOTIFY waits for the one who got the listener, and gets the answer.
func TestNotify(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.Require(t, feature.SeccompNotify, feature.SeccompWaitKillable)
	path, l := listen(t)
	plan, err := seccomp.NewPlan(spec.SeccompProfile{
		DefaultAction: spec.SeccompAllow, ListenerPath: path,
		Flags:    []spec.SeccompFlag{spec.SeccompTSync, spec.SeccompWaitKillableRecv},
		Syscalls: []spec.SeccompRule{{Names: []string{"mkdir", "mkdirat"}, Action: spec.SeccompNotify}},
	})
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan uint32, 1)
	go func() {
		defer close(answered)
		fd := receive(t, l)
		defer unix.Close(fd)
		// struct seccomp_notif and seccomp_notif_resp, linux/seccomp.h.
		var asked struct {
			id         uint64
			pid, flags uint32
			call       seccomp.Call
		}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&asked))); errno != 0 {
			t.Error(errno)
			return
		}
		answer := struct {
			id    uint64
			value int64
			error int32
			flags uint32
		}{id: asked.id, error: -int32(unix.ENOSPC)}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&answer))); errno != 0 {
			t.Error(errno)
		}
		answered <- asked.call.Nr
	}()
	out, exit := planned(t, plan, []string{prober + "=" + asker, socketOfAll + "=" + path}, "/proc/self/exe")
	if want := "mkdir /nonexistent/directory: no space left on device\n"; out != want || exit != (process.Exit{}) {
		t.Errorf("%v: got %q, want %q", exit, out, want)
	}
	if nr := <-answered; nr != unix.SYS_MKDIRAT {
		t.Errorf("asked about call %d", nr)
	}
}
