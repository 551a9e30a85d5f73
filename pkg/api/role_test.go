package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

func TestParseGrant(t *testing.T) {
	for text, want := range map[string]Grant{
		"read=uid:7":          {Read, false, 7},
		"operate=gid:0":       {Operate, true, 0},
		"admin=user:root":     {Admin, false, 0},
		"read=group:root":     {Read, true, 0},
		"read=uid:4294967295": {Read, false, 1<<32 - 1},
	} {
		if got, err := ParseGrant(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "read", "read=", "read=7", "read=uid:", "read=uid:x", "read=uid:-1", "read=uid:4294967296", "none=uid:7", "root=uid:7", "=uid:7",
		"read=user:nobody-has-this-name", "read=group:nobody-has-this-name", "read=user:", "Read=uid:7",
	} {
		if got, err := ParseGrant(text); err == nil || got != (Grant{}) {
			t.Errorf("%q is taken as %+v", text, got)
		}
	}
}

// Of whom nobody knows a grant may speak: it gives nothing, and the others count.
func TestGrantsOfNobody(t *testing.T) {
	texts := []string{"read=user:nobody-has-this-name", "operate=uid:7", "read=group:nobody-has-this-name"}
	for _, text := range texts {
		if err := CheckGrant(text); err != nil {
			t.Error(err)
		}
	}
	got, err := ParseGrants(texts)
	if !slices.Equal(got, Grants{{Operate, false, 7}}) || err == nil || strings.Count(err.Error(), "nobody-has-this-name") != 4 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"", "read=", "read=uid:x", "read=gid:-1", "read=uid:4294967296", "none=uid:7", "read=user:", "read=all:x"} {
		if err := CheckGrant(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// The highest role counts; nobody has one without a grant.
func TestRoles(t *testing.T) {
	grants := Grants{{Read, true, 100}, {Operate, false, 7}, {Admin, true, 200}}
	for _, test := range []struct {
		peer Peer
		want Role
	}{
		{Peer{UID: 0}, Admin},
		{Peer{UID: uint32(os.Geteuid())}, Admin},
		{Peer{UID: 65534, GID: 65534}, None},
		{Peer{UID: 100, GID: 7}, None}, // a user's number is no group's
		{Peer{UID: 7, GID: 7}, Operate},
		{Peer{UID: 7, GID: 100}, Operate},
		{Peer{UID: 8, GID: 8, Groups: []uint32{5, 100}}, Read},
		{Peer{UID: 8, GID: 100, Groups: []uint32{200}}, Admin},
	} {
		if got := grants.role(test.peer); got != test.want {
			t.Errorf("%+v: got %s, want %s", test.peer, got, test.want)
		}
	}
}

// The group reconciler has all rights, unless a grant says what it has.
func TestGroupOfTheAgent(t *testing.T) {
	const gid = 70001
	member := Peer{UID: 65534, GID: gid}
	for _, test := range []struct {
		said Grants
		want Role
	}{{nil, Admin}, {Grants{{Read, true, gid}}, Read}, {Grants{{Read, false, gid}}, Admin}, {Grants{{Operate, true, 70002}}, Admin}} {
		if got := test.said.withGroup(gid).role(member); got != test.want {
			t.Errorf("%v: got %s, want %s", test.said, got, test.want)
		}
	}
}

// paths fills the words of a path.
var paths = strings.NewReplacer("{name}", "web", "{id}", "20260101-000000001")

// Every route lets those through who have its role or a higher one, and tells the others what they need.
func TestEveryRouteAsksForItsRole(t *testing.T) {
	handler := New(Config{Agent: nobody{}, Logs: nobody{}, Node: nobody{}, Log: logr.Discard()}).Handler()
	needs := map[Role]int{}
	for _, route := range routes() {
		needs[route.role]++
		for _, role := range []Role{None, Read, Operate, Admin} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(route.method, "http://agent"+paths.Replace(route.path), nil)
			handler.ServeHTTP(w, r.WithContext(WithPeer(t.Context(), Peer{UID: 65534, Role: role})))
			e := DecodeError(w.Code, w.Body.Bytes())
			switch refused := w.Code == http.StatusForbidden; {
			case refused != (role < route.role):
				t.Errorf("%s as %s: got %d", route.pattern(), role, w.Code)
			case refused && (e.Reason != ReasonForbidden || !strings.Contains(e.Message, "65534") || !strings.Contains(e.Text, "=uid:65534")):
				t.Errorf("%s as %s: got %+v", route.pattern(), role, e)
			case refused && role != None && !strings.Contains(e.Message, "the role "+route.role.String()):
				t.Errorf("%s as %s: %s does not name the role %s", route.pattern(), role, e.Message, route.role)
			}
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(route.method, "http://agent"+paths.Replace(route.path), nil))
		if w.Code != http.StatusForbidden {
			t.Errorf("%s from nobody knows whom: got %d", route.pattern(), w.Code)
		}
	}
	if needs[None] != 0 || needs[Read] == 0 || needs[Operate] == 0 || needs[Admin] == 0 {
		t.Errorf("routes by role: %v", needs)
	}
}

// What only looks is for readers, and nothing else is.
func TestReadersOnlyLook(t *testing.T) {
	for _, route := range routes() {
		if (route.role == Read) != (route.method == http.MethodGet) && route.id != "exportImage" {
			t.Errorf("%s needs %s", route.pattern(), route.role)
		}
	}
}

// A handler that hangs beside the API is for those with its role.
func TestMount(t *testing.T) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	handler := New(Config{
		Agent: nobody{}, Logs: nobody{}, Node: nobody{}, Log: logr.Discard(), Mounts: []Mount{{"GET /hello", Operate, hello}},
	}).Handler()
	for role, want := range map[Role]int{None: 403, Read: 403, Operate: http.StatusTeapot, Admin: http.StatusTeapot} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", "http://agent/hello", nil).WithContext(WithPeer(t.Context(), Peer{Role: role})))
		if w.Code != want {
			t.Errorf("%s: got %d, want %d", role, w.Code, want)
		}
	}
}

// Those with a grant reach the socket, and nobody else does: by the kernel, before a byte is sent.
func TestShare(t *testing.T) {
	path, listener := reachable(t)
	defer listener.Close()
	grants := Grants{{Read, false, 70001}, {Operate, true, 70002}, {Read, true, 70002}, {Admin, false, 70003}}
	if err := grants.Share(path); err != nil {
		t.Fatal(err)
	}
	if err := grants.Share(path); err != nil {
		t.Errorf("a second time: %v", err)
	}
	for _, who := range []struct {
		uid, gid int
		may      bool
	}{{70001, 70009, true}, {70003, 70009, true}, {70004, 70002, true}, {70002, 70001, false}, {65534, 65534, false}} {
		conn, err := dialFrom(path, who.uid, who.gid)
		if (err == nil) != who.may {
			t.Errorf("user %d of group %d: got %v", who.uid, who.gid, err)
		}
		if conn != nil {
			conn.Close()
		}
	}
}

// Other grants count from the next connection on, for the kernel as well, and from the next request on for who is connected.
func TestSetGrants(t *testing.T) {
	path, listener := reachable(t)
	const reader, other = 70001, 70002
	server := serving(t, listener, Grants{{Read, false, reader}})
	asks := func(conn net.Conn) int {
		t.Helper()
		if _, err := io.WriteString(conn, "GET /v1/version HTTP/1.1\r\nHost: agent\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode
	}
	share := func(grants Grants) {
		server.SetGrants(grants)
		if err := grants.Share(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, grants := range []Grants{{{Read, false, other}}, {{Read, false, reader}}, {}} {
		share(Grants{{Read, false, reader}})
		before, err := dialFrom(path, reader, reader)
		if err != nil || asks(before) != http.StatusOK {
			t.Fatal("who may read does not: ", err)
		}
		defer before.Close()
		share(grants)
		for _, uid := range []int{reader, other} {
			may := len(grants) > 0 && grants[0].ID == uint32(uid)
			conn, err := dialFrom(path, uid, uid)
			if (err == nil) != may {
				t.Errorf("%v: user %d: got %v", grants, uid, err)
			}
			if err == nil {
				if got := asks(conn); got != http.StatusOK {
					t.Errorf("%v: user %d: got %d", grants, uid, got)
				}
				conn.Close()
			}
		}
		want := http.StatusForbidden
		if len(grants) > 0 && grants[0].ID == reader {
			want = http.StatusOK
		}
		if got := asks(before); got != want {
			t.Errorf("%v: who was connected is told %d", grants, got)
		}
	}
	// By a socket that everybody reaches, the role alone decides.
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	conn, err := dialFrom(path, reader, reader)
	if err != nil || asks(conn) != http.StatusForbidden {
		t.Errorf("without a grant: %v", err)
	}
	if conn != nil {
		conn.Close()
	}
}

// reachable is a socket in a directory that others may look into.
func reachable(t *testing.T) (path string, listener net.Listener) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skip: needs root to become somebody else")
	}
	dir, err := os.MkdirTemp("", "rapi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	listener, err = Listen(path)
	if err := errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path, listener
}

// serving is a server of nothing, until the test ends.
func serving(t *testing.T, listener net.Listener, grants Grants) *Server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	server := New(Config{Agent: nobody{}, Logs: nobody{}, Node: nobody{}, Log: logr.Discard(), Grants: grants})
	done := make(chan error)
	go func() { done <- server.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return server
}

// dialFrom connects from a thread of its own, as another user of one group, that ends with the call.
func dialFrom(path string, uid, gid int) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		for _, call := range []func() unix.Errno{
			func() unix.Errno { _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); return e },
			func() unix.Errno {
				_, _, e := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid))
				return e
			},
			func() unix.Errno {
				_, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
				return e
			},
		} {
			if errno := call(); errno != 0 {
				err = errno
				return
			}
		}
		conn, err = net.Dial("unix", path)
	}()
	<-done
	return conn, err
}

// Whoever is no admin leaves a part of the slots alone, for admins and for other users.
func TestSlotsAreKeptForAdmins(t *testing.T) {
	s := newSlots(8)
	var releases []func()
	take := func(role Role, uid uint32) bool {
		release, ok := s.take(Peer{Role: role, UID: uid})
		if ok {
			releases = append(releases, release)
		}
		return ok
	}
	var got []bool
	for uid := range uint32(4) {
		got = append(got, take(Read, uid), take(Operate, uid), take(Read, uid)) // each has two of the eight
	}
	got = append(got, take(Admin, 0), take(Admin, 0), take(Admin, 0))
	if !slices.Equal(got, []bool{true, true, false, true, true, false, true, true, false, false, false, false, true, true, false}) {
		t.Errorf("got %v", got)
	}
	for _, release := range releases {
		release()
	}
	if len(s.all)+len(s.others.places)+len(s.others.users.has) != 0 {
		t.Error("slots are lost")
	}
}

// A few strangers may connect at a time to be told so; an admin gets through whatever they do.
func TestStrangersAreFew(t *testing.T) {
	path, listener := reachable(t)
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	serving(t, listener, nil)
	for i := range 2 * maxStrangers {
		conn, err := dialFrom(path, 65534, 65534)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i < maxStrangers {
			continue // it says nothing, and so holds its place
		}
		if got := request(t, conn, ""); got != http.StatusServiceUnavailable {
			t.Errorf("stranger %d got %d", i, got)
		}
	}
	admin, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if got := request(t, admin, "GET /v1/version HTTP/1.1\r\nHost: agent\r\n\r\n"); got != 200 {
		t.Errorf("an admin got %d", got)
	}
}

// A user who is no admin has a quarter of the connections at most, and others get through.
func TestConnectionsOfOneUser(t *testing.T) {
	path, listener := reachable(t)
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	const greedy, other = 70001, 70002
	serving(t, listener, Grants{{Read, false, greedy}, {Read, false, other}})
	const ask = "GET /v1/version HTTP/1.1\r\nHost: agent\r\n\r\n"
	for i := range maxConnections/4 + 2 {
		uid, want := greedy, http.StatusOK
		switch i {
		case maxConnections / 4:
			want = http.StatusServiceUnavailable
		case maxConnections/4 + 1:
			uid = other
		}
		conn, err := dialFrom(path, uid, uid)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got := request(t, conn, ask); got != want {
			t.Errorf("connection %d, of user %d, got %d", i, uid, got)
		}
	}
}

// request sends something, and gives the status of the answer.
func request(t *testing.T, conn net.Conn, text string) int {
	t.Helper()
	_, _ = io.WriteString(conn, text)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}
