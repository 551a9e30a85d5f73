package probe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/probe"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// direct dials from where the test is.
var direct = probe.Means{Dial: new(net.Dialer).DialContext}

// soon is a timeout for who never answers.
const soon = spec.Duration(50 * time.Millisecond)

// want checks what a question comes to: "" is success, else what the error says.
func want(t *testing.T, what string, err error, says string) {
	t.Helper()
	switch {
	case says == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case says != "" && (err == nil || !strings.Contains(err.Error(), says)):
		t.Errorf("%s: got %v, want %q", what, err, says)
	case err != nil && (len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\x00\x1b\r\n")):
		t.Errorf("%s: cannot be shown: %q", what, err)
	}
}

// portOf is the port of a listener.
func portOf(a net.Addr) int { return a.(*net.TCPAddr).Port }

// peer listens on loopback and has a conversation with each who connects.
func peer(t *testing.T, converse func(net.Conn)) (port int) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				converse(c)
			}()
		}
	}()
	return portOf(l.Addr())
}

// says is a peer that reads a request's first bytes and says something.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, text)
	}
}

// forever says something again and again, until nobody hears it.
func forever(begin, again string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, err := io.WriteString(c, begin)
		for err == nil {
			_, err = io.WriteString(c, again)
		}
	}
}

func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// Who answers with 200 to 399 is well; no redirect is followed; hostile answers end in time and in few words.
func TestHTTP(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(net.Conn)
		says   string
	}{
		"200":                {says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), ""},
		"204":                {says("HTTP/1.1 204 No Content\r\n\r\n"), ""},
		"redirect":           {says("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"), ""},
		"399":                {says("HTTP/1.0 399 Odd\r\n\r\n"), ""},
		"400":                {says("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), "HTTP status 400 Bad Request"},
		"503":                {says("HTTP/1.1 503 \x1b[31mred\r\nContent-Length: 0\r\n\r\n"), "HTTP status 503 ?[31mred"},
		"early hints":        {says("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), ""},
		"hints for ever":     {forever("", "HTTP/1.1 103 Early Hints\r\n\r\n"), "more than 65536 bytes"},
		"chunked":            {says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), ""},
		"broken chunks":      {says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "breaks off"},
		"body for ever":      {forever("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 1000)), ""},
		"body breaks off":    {says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok"), "the connection was closed"},
		"head for ever":      {forever("HTTP/1.1 200 OK\r\n", "X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"), "more than 65536 bytes"},
		"line for ever":      {forever("HTTP/1.1 200 ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "more than 65536 bytes"},
		"nothing":            {says(""), "the connection was closed"},
		"half a line":        {says("HTTP/1.1 20"), "malformed HTTP status code"},
		"another protocol":   {says("SSH-2.0-OpenSSH_9.2\r\n\x00\x1b"), "no answer of HTTP: malformed"},
		"two lengths":        {says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok"), "no answer of HTTP"},
		"silence":            {silent, "no answer within 50ms"},
		"silence after head": {func(c net.Conn) { says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")(c); silent(c) }, "no answer within 50ms"},
	} {
		port := peer(t, c.answer)
		timeout := spec.Duration(5 * time.Second)
		if strings.Contains(c.says, "within") {
			timeout = soon
		}
		want(t, name, probe.Check(t.Context(), spec.Probe{HTTP: &spec.HTTPProbe{Port: port}, Timeout: timeout}, direct), c.says)
	}
}

// The request is what the manifest says, and nothing else; with HTTPS no certificate is asked for its name.
func TestHTTPRequest(t *testing.T) {
	seen := make(chan *http.Request, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		if r.URL.Path == "/none" {
			http.NotFound(w, r)
		}
	})
	plain, secure := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer plain.Close()
	defer secure.Close()
	at, atSecure := portOf(plain.Listener.Addr()), portOf(secure.Listener.Addr())
	ask := func(p spec.HTTPProbe, says string) *http.Request {
		t.Helper()
		want(t, p.Path, probe.Check(t.Context(), spec.Probe{HTTP: &p, Timeout: spec.Duration(5 * time.Second)}, direct), says)
		select {
		case r := <-seen:
			return r
		default:
			return &http.Request{}
		}
	}
	r := ask(spec.HTTPProbe{Port: at}, "")
	if r.Method != "GET" || r.RequestURI != "/" || r.Host != fmt.Sprintf("127.0.0.1:%d", at) || r.UserAgent() != "reconciler-probe" || r.Header.Get("Accept") != "*/*" || !r.Close {
		t.Errorf("asked by %+v", r)
	}
	r = ask(spec.HTTPProbe{Port: at, Path: "/a%20b?c=d", Host: "web.example", Headers: map[string]string{"X-Probe": "yes", "user-agent": "mine"}}, "")
	if r.RequestURI != "/a%20b?c=d" || r.Host != "web.example" || r.Header.Get("X-Probe") != "yes" || len(r.Header["User-Agent"]) != 1 || r.UserAgent() != "mine" {
		t.Errorf("asked by %+v", r)
	}
	r = ask(spec.HTTPProbe{Port: atSecure, Scheme: spec.SchemeHTTPS, Host: "web.example:8443"}, "")
	if r.TLS == nil || r.TLS.ServerName != "web.example" || r.Host != "web.example:8443" {
		t.Errorf("asked by %+v", r)
	}
	ask(spec.HTTPProbe{Port: atSecure, Scheme: spec.SchemeHTTPS, Path: "/none"}, "HTTP status 404 Not Found")
	ask(spec.HTTPProbe{Port: atSecure}, "HTTP status 400")
	ask(spec.HTTPProbe{Port: at, Scheme: spec.SchemeHTTPS}, "no TLS: ")
	hung := peer(t, silent)
	want(t, "TLS without an answer", probe.Check(t.Context(), spec.Probe{HTTP: &spec.HTTPProbe{Port: hung, Scheme: spec.SchemeHTTPS}, Timeout: soon}, direct), "no answer within 50ms")
}

// A connection is enough for tcp; why there is none is told in few words, and what a node says of the container stays to be asked.
func TestTCP(t *testing.T) {
	port := peer(t, silent)
	tcp := func(port int) spec.Probe { return spec.Probe{TCP: &spec.TCPProbe{Port: port}, Timeout: soon} }
	want(t, "listens", probe.Check(t.Context(), tcp(port), direct), "")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := portOf(l.Addr())
	_ = l.Close()
	err = probe.Check(t.Context(), tcp(closed), direct)
	if says := fmt.Sprintf("cannot connect to 127.0.0.1:%d: connection refused", closed); err == nil || err.Error() != says || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want %s", err, says)
	}
	asked := ""
	gone := probe.Means{Dial: func(_ context.Context, network, address string) (net.Conn, error) {
		asked = network + " " + address
		return nil, fmt.Errorf("cannot connect into %q: %w", "web", spec.ErrNotRunning)
	}}
	if err := probe.Check(t.Context(), spec.Probe{TCP: &spec.TCPProbe{Port: 80, Address: "::1"}}, gone); !errors.Is(err, spec.ErrNotRunning) || asked != "tcp [::1]:80" {
		t.Errorf("got %v, asked %s", err, asked)
	}
	hang := probe.Means{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	want(t, "hangs", probe.Check(t.Context(), tcp(1), hang), "no answer within 50ms")
	if err := probe.Check(t.Context(), spec.Probe{Notify: true}, direct); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("nothing to ask: %v", err)
	}
}
