package web_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/web"
)

const token = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// guarded is the page and the API of an agent as they are at a loopback address.
func guarded(t *testing.T) http.Handler {
	t.Helper()
	agent := apitest.New()
	server := api.New(api.Config{Agent: agent, Logs: agent, Node: agent, Images: agent, Log: logr.Discard(), Mounts: []api.Mount{
		{Pattern: "GET " + web.Prefix, Role: api.Read, Handler: web.Page()}, {Pattern: "GET /{$}", Role: api.Read, Handler: web.Page()},
	}})
	return web.Guard(server.Handler(), token)
}

func TestGuard(t *testing.T) {
	handler := guarded(t)
	bearer := "Bearer " + token
	for _, test := range []struct {
		what, method, path, host string
		header                   map[string]string
		want                     int
	}{
		{what: "the page", path: "/ui/", want: 200},
		{what: "the page, without its slash", path: "/ui", want: 307},
		{what: "a path that looks like it", path: "/uix", want: 401},
		{what: "the way to it", path: "/", want: 302},
		{what: "the page, by name", path: "/ui/", host: "LocalHost:9465", want: 200},
		{what: "the page, IPv6", path: "/ui/", host: "[::1]:9465", want: 200},
		{what: "no token", path: "/v1/containers", want: 401},
		{what: "no token for a path that nobody knows", path: "/x", want: 401},
		{what: "no token for metrics", path: "/metrics", want: 401},
		{what: "around the page", path: "/ui/../v1/containers", want: 307},
		{what: "another token", path: "/v1/containers", header: map[string]string{"Authorization": "Bearer x"}, want: 401},
		{what: "half a token", path: "/v1/containers", header: map[string]string{"Authorization": bearer[:20]}, want: 401},
		{what: "the token alone", path: "/v1/containers", header: map[string]string{"Authorization": token}, want: 401},
		{what: "a token in the query", path: "/v1/containers?token=" + token, want: 401},
		{what: "the token", path: "/v1/containers", header: map[string]string{"Authorization": bearer}, want: 200},
		{what: "the token, from the page", path: "/v1/containers", header: map[string]string{"Authorization": bearer, "Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:9465"}, want: 200},
		{what: "the token, from another site", path: "/v1/containers", header: map[string]string{"Authorization": bearer, "Sec-Fetch-Site": "cross-site"}, want: 403},
		{what: "the token, from another port", path: "/v1/containers", header: map[string]string{"Authorization": bearer, "Sec-Fetch-Site": "same-site"}, want: 403},
		{what: "the token, of another origin", path: "/v1/containers", header: map[string]string{"Authorization": bearer, "Origin": "http://127.0.0.1:1"}, want: 403},
		{what: "the token, of no origin", path: "/v1/containers", header: map[string]string{"Authorization": bearer, "Origin": "null"}, want: 403},
		{what: "a link on another site", path: "/ui/", header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, want: 200},
		{what: "a link on another site, past the page", path: "/v1/containers", header: map[string]string{"Authorization": bearer, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, want: 403},
		{what: "a frame on another site", path: "/ui/", header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, want: 403},
		{what: "the name of another site", path: "/v1/containers", host: "evil.example:9465", header: map[string]string{"Authorization": bearer}, want: 421},
		{what: "the page by the name of another site", path: "/ui/", host: "evil.example", want: 421},
		{what: "a name that looks like it", path: "/ui/", host: "127.0.0.1.evil.example", want: 421},
		{what: "another address", path: "/ui/", host: "192.0.2.1:9465", want: 421},
		{what: "a plain name", path: "/ui/", host: "agent", want: 421},
		{what: "no host", path: "/ui/", host: "-", want: 421},
		{what: "a question before a request", method: http.MethodOptions, path: "/v1/containers", header: map[string]string{"Origin": "http://evil.example", "Access-Control-Request-Method": "GET"}, want: 405},
	} {
		r := httptest.NewRequest(cmp.Or(test.method, http.MethodGet), "http://agent"+test.path, nil)
		r.Host = strings.TrimPrefix(cmp.Or(test.host, "127.0.0.1:9465"), "-")
		for k, v := range test.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != test.want {
			t.Errorf("%s: %d, want %d: %s", test.what, w.Code, test.want, w.Body)
		}
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: other sites are let in: %s", test.what, name)
			}
		}
	}
}

// Whoever has the token, root's processes too, looks and does nothing else.
func TestOnlyLooks(t *testing.T) {
	handler := guarded(t)
	words := strings.NewReplacer("{name}", "web", "{id}", "20260101-000000001")
	looked := 0
	for _, route := range api.Routes() {
		ctx, cancel := context.WithCancel(api.WithPeer(t.Context(), api.Peer{Role: api.Admin})) // which is not believed
		r := httptest.NewRequestWithContext(ctx, route.Method, "http://127.0.0.1:9465"+words.Replace(route.Path), nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		cancel()
		if strings.Contains(w.Body.String(), "--grant") {
			t.Errorf("%s: a grant is no help here: %s", route.Path, w.Body)
		}
		refused := w.Code == http.StatusMethodNotAllowed || w.Code == http.StatusForbidden
		if refused != (route.Role > api.Read || route.Method != http.MethodGet) {
			t.Errorf("%s %s, for %s: %d", route.Method, route.Path, route.Role, w.Code)
		}
		if !refused {
			looked++
		}
	}
	if looked < 10 {
		t.Errorf("only %d routes can be looked at", looked)
	}
}

func TestListen(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "localhost:0", "127.9.9.9:0", "[::ffff:127.0.0.1]:0"} {
		listener, err := web.Listen(address)
		if err != nil {
			if strings.HasPrefix(address, "[::1") && strings.Contains(err.Error(), "assign requested address") {
				continue // a node without IPv6
			}
			t.Error(err)
			continue
		}
		listener.Close()
	}
	for _, address := range []string{"", "9465", ":9465", "0.0.0.0:9465", "[::]:9465", "192.0.2.1:9465", "example.com:9465", "localhost.example.com:0", "127.0.0.1"} {
		listener, err := web.Listen(address)
		if err == nil {
			listener.Close()
			t.Errorf("%q is listened at", address)
			continue
		}
		if !strings.Contains(err.Error(), "\nhint: say ") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// The token stays as long as nobody else could know it.
func TestKey(t *testing.T) {
	dir := t.TempDir()
	listener, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file := filepath.Join(dir, web.KeyFile)
	var tokens []string
	key := func() string {
		t.Helper()
		token, err := web.Key(dir, listener.Addr())
		if err != nil {
			t.Fatal(err)
		}
		url, err := web.ReadKey(dir)
		if want := "http://" + listener.Addr().String() + "/ui/#token=" + token; err != nil || url != want {
			t.Errorf("the file says %q, %v, want %q", url, err, want)
		}
		info, err := os.Lstat(file)
		if err != nil || info.Mode() != 0o600 || len(token) < 26 {
			t.Errorf("%v, %v, %q", info.Mode(), err, token)
		}
		return token
	}
	tokens = append(tokens, key())
	if again := key(); again != tokens[0] {
		t.Error("the token has changed without need")
	}
	for _, spoil := range []func() error{
		func() error { return os.Chmod(file, 0o640) },
		func() error { return os.WriteFile(file, []byte("http://127.0.0.1/ui/#token=short\n"), 0o600) },
		func() error { return os.WriteFile(file, nil, 0o600) },
		func() error {
			other := filepath.Join(dir, "other")
			return errors.Join(os.Rename(file, other), os.Symlink(other, file))
		},
		func() error { return os.Chown(file, 65534, 65534) },
	} {
		if err := spoil(); err != nil {
			if os.Geteuid() != 0 {
				continue // chown is root's
			}
			t.Fatal(err)
		}
		token := key()
		if slices.Contains(tokens, token) {
			t.Error("a token stays that somebody else could know")
		}
		tokens = append(tokens, token)
	}
}

// A file that cannot be written anew stays as it is.
func TestKeyWithoutRoom(t *testing.T) {
	kerneltest.Root(t)
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(dir, 0) }()
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9465}
	before, err := web.Key(dir, at)
	if err != nil {
		t.Fatal(err)
	}
	full := filepath.Join(dir, "full")
	if err := os.WriteFile(full, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if _, err := web.Key(dir, at); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("without room: %v", err)
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if after, err := web.Key(dir, at); after != before || err != nil {
		t.Errorf("the token has gone: %q, %q, %v", before, after, err)
	}
	if err := web.Forget(dir); err != nil {
		t.Error(err)
	}
	if after, err := web.Key(dir, at); after == before || err != nil {
		t.Errorf("a token that is forgotten is still there: %v", err)
	}
}

// Who asks for streams and does not read them holds up nobody else.
func TestSlowReaders(t *testing.T) {
	listener, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- web.Serve(ctx, listener, guarded(t), logr.Discard()) }()
	request := func(path string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\n\r\n"
	}
	for range 20 {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, request("/v1/stats?watch=1&interval=100ms")); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for range 100 {
		if _, err := io.WriteString(conn, request("/v1/containers")); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(answers, nil)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatal(response, err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Who leaves a stream ends it, and makes room for others.
func TestServe(t *testing.T) {
	listener, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	gone := make(chan struct{})
	go func() {
		done <- web.Serve(ctx, listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "first\n")
			_ = http.NewResponseController(w).Flush()
			if r.URL.Path == "/stream" {
				<-r.Context().Done()
				gone <- struct{}{}
			}
		}), logr.Discard())
	}()
	for range 100 { // more than there is room for at one time
		asking, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(asking, http.MethodGet, "http://"+listener.Addr().String()+"/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		leave() // a tab that is closed
		response.Body.Close()
		<-gone
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
