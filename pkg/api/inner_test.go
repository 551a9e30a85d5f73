package api

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestPeerGroups asks the kernel for the supplementary groups of a peer, few and many.
func TestPeerGroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skip: needs root to change groups")
	}
	for _, count := range []int{0, 3, 300} {
		groups := make([]uint32, count)
		for i := range groups {
			groups[i] = uint32(70000 + i)
		}
		client, server := connectAs(t, groups)
		peer, err := peerOf(server)
		if err != nil || !slices.Equal(peer.Groups, groups) || peer.UID != 0 || int(peer.Pid) != os.Getpid() {
			t.Errorf("%d groups: got %+v, %v", count, peer, err)
		}
		client.Close()
		server.Close()
	}
}

// connectAs connects from a thread of its own with the groups, and returns both ends.
func connectAs(t *testing.T, groups []uint32) (client, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0)
		if errno != 0 {
			done <- errno
			return
		}
		var err error
		client, err = net.Dial("unix", listener.Addr().String())
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestLogOptionsSurviveTheQuery(t *testing.T) {
	for _, o := range []LogOptions{
		{Tail: -1},
		{Tail: 0, Follow: true},
		{Tail: 7, Previous: true, Timestamps: true, Stream: "stderr", Since: time.Unix(1e9, 5).UTC()},
	} {
		got, err := ParseLogOptions(o.Query())
		if err != nil || got != o {
			t.Errorf("got %+v, %v, want %+v", got, err, o)
		}
	}
}

// FuzzRequest sends any request to an agent without containers: the answer is JSON, and an error has a reason.
func FuzzRequest(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/v1/containers", ""},
		{"GET", "/v1/containers/a/drift", ""},
		{"GET", "/v1/containers/a/logs?tail=9&since=x", ""},
		{"POST", "/v1/containers/a/kill", `{"signal":"SIGHUP"}`},
		{"POST", "/v1/containers/a/exec", `{"command":["ls"],"detach":true}`},
		{"POST", "/v1/containers/a/attach", `{}`},
		{"POST", "/v1/prune", `{"source":"a","hash":"b"}`},
		{"GET", "/v1/containers?resourceVersion=18446744073709551616&watch=1&agent=x", ""},
		{"GET", "/v1/events?watch=1", ""},
		{"PUT", "/../..//v1", "\x00"},
		{"GET", "/v1/images?container=..", ""},
		{"POST", "/v1/images?name=a", "archive"},
		{"POST", "/v1/images/a/20260101-000000000/keep", `{"keep":false}`},
		{"GET", "/v1/images/a/20260101-000000000/export?compress=1", ""},
		{"POST", "/v1/containers/a/checkpoint", `{"stop":true}`},
		{"POST", "/v1/containers/a/restore", `{"image":"a/b"}`},
		{"POST", "/v1/shutdown", `{"timeout":"1s"}`},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	routes := New(Config{Agent: nobody{}, Logs: nobody{}, Node: nobody{}, Log: logr.Discard()}).routes()
	f.Fuzz(func(t *testing.T, method, target, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") || method == "CONNECT" {
			return
		}
		w := httptest.NewRecorder()
		defer func() {
			if r := recover(); r != nil && r != http.ErrAbortHandler {
				panic(r)
			}
		}()
		r := &http.Request{
			Method: method, URL: u, Host: "agent", Body: http.MaxBytesReader(w, readCloser(body), maxBody), Header: http.Header{},
		}
		routes.ServeHTTP(w, r.WithContext(WithPeer(t.Context(), Peer{Role: Admin})))
		if w.Code >= 300 && w.Code < 400 {
			return // the router tidies a path
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %q: %d with %q", method, target, w.Code, w.Body)
		}
		if e := DecodeError(w.Code, w.Body.Bytes()); w.Code != http.StatusOK && (e.Reason == "" || reasons[e.Reason].status != w.Code) {
			t.Fatalf("%s %q: %d with %+v", method, target, w.Code, e)
		}
	})
}

// Objects that are kept as JSON read as those that are not, and are bounded.
func TestEncoded(t *testing.T) {
	e := encoded{byVersion: map[uint64]json.RawMessage{}}
	o := spec.Object{Metadata: spec.ObjectMetadata{Metadata: spec.Metadata{Name: "a", Annotations: map[string]string{"k": "<&>" + strings.Repeat("x", 1<<20)}}}}
	for version := range uint64(20) {
		o.Metadata.ResourceVersion = version
		want, err := json.Marshal(Change{Type: Modified, Object: o})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := e.change(Change{Type: Modified, Object: o}); err != nil || string(got) != string(want)+"\n" {
				t.Fatalf("version %d differs, %v", version, err)
			}
		}
		wantList, err := json.Marshal(List{APIVersion: spec.APIVersion, Kind: KindList, Metadata: ListMetadata{Agent: "a"}, Items: []spec.Object{o, o}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.list([]spec.Object{o, o}, ListMetadata{Agent: "a"}); err != nil || string(got) != string(wantList)+"\n" {
			t.Fatalf("a list of version %d differs, %v", version, err)
		}
		total := 0
		for _, text := range e.byVersion {
			total += len(text)
		}
		if total != e.bytes || total > maxEncoded || len(e.order) != len(e.byVersion) {
			t.Fatalf("%d bytes of %d, said %d", total, maxEncoded, e.bytes)
		}
	}
}
