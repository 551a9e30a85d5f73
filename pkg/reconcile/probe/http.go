package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Bounds of an answer, in bytes: of everything before the body, and of the body, which is read so that who writes it is not cut off.
const (
	maxHead = 64 << 10
	maxBody = 64 << 10
)

// defaultHeaders are those of a request that says nothing else.
var defaultHeaders = map[string]string{"User-Agent": "reconciler-probe", "Accept": "*/*"}

// checkHTTP asks by GET over a connection of its own. 200 to 399 is success.
func checkHTTP(ctx context.Context, p spec.HTTPProbe, dial Dialer) error {
	return converse(ctx, dial, p.Address, p.Port, func(conn net.Conn) error {
		if p.Scheme == spec.SchemeHTTPS {
			// The certificate is the container's own matter: who is asked is known by where it is.
			secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: serverName(p)})
			if err := secure.HandshakeContext(ctx); err != nil {
				return fmt.Errorf("no TLS: %w", cut(err))
			}
			conn = secure
		}
		if _, err := io.WriteString(conn, request(p)); err != nil {
			return fmt.Errorf("cannot ask: %w", cut(err))
		}
		return readAnswer(conn)
	})
}

// serverName is the name that a server chooses its certificate by.
func serverName(p spec.HTTPProbe) string {
	if host, _, err := net.SplitHostPort(p.Host); err == nil {
		return host
	}
	return strings.Trim(orElse(p.Host, p.Address), "[]")
}

// request is the whole request. Its words were checked when the manifest was read: none ends a line.
func request(p spec.HTTPProbe) string {
	var b strings.Builder
	host := orElse(p.Host, net.JoinHostPort(p.Address, strconv.Itoa(p.Port)))
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", p.Path, host)
	said := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(p.Headers)) {
		said[strings.ToLower(name)] = true
		fmt.Fprintf(&b, "%s: %s\r\n", name, p.Headers[name])
	}
	for _, name := range slices.Sorted(maps.Keys(defaultHeaders)) {
		if !said[strings.ToLower(name)] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, defaultHeaders[name])
		}
	}
	b.WriteString("\r\n")
	return b.String()
}

// readAnswer reads an answer and judges its status.
func readAnswer(conn io.Reader) error {
	bounded := &io.LimitedReader{R: conn, N: maxHead}
	lines := bufio.NewReader(bounded)
	for {
		answer, err := http.ReadResponse(lines, nil)
		if err != nil {
			if bounded.N <= 0 {
				return fmt.Errorf("the head of the answer has more than %d bytes", maxHead)
			}
			return fmt.Errorf("no answer of HTTP: %w", cut(err))
		}
		if answer.StatusCode >= 100 && answer.StatusCode < 200 { // the answer itself is to come: RFC 9110, section 15.2
			continue
		}
		bounded.N += maxBody
		_, err = io.CopyN(io.Discard, answer.Body, maxBody)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("the answer breaks off: %w", cut(err))
		}
		if answer.StatusCode < 200 || answer.StatusCode > 399 {
			return errors.New(printable("HTTP status " + answer.Status))
		}
		return nil
	}
}

// cut says of an error of a conversation only what is not clear: that it is over. What it repeats of who was asked is made fit to be shown.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the connection was closed")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return &told{printable(err.Error()), err}
}

func orElse(text, otherwise string) string {
	if text != "" {
		return text
	}
	return otherwise
}
