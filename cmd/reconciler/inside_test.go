package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/meter"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// counting counts connections that nobody has closed.
type counting struct {
	net.Listener
	mu         sync.Mutex
	open, most int
	enough     int
	reached    chan struct{} // closed when enough are open
}

func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		conn = &counted{conn, sync.OnceFunc(func() { c.add(-1) })}
		c.add(1)
	}
	return conn, err
}

func (c *counting) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open += n
	if c.most = max(c.most, c.open); n > 0 && c.open == c.enough {
		close(c.reached)
		c.enough = 0
	}
}

type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// slow is a machine with nothing on it, whose keeper answers when it is let.
type slow struct{ let chan struct{} }

func (slow) Objects() ([]spec.Object, uint64)                              { return nil, 0 }
func (slow) Activity() reconcile.Activity                                  { return reconcile.Activity{} }
func (slow) Stats(context.Context, string, uint64) (_ spec.Stats, _ error) { return }
func (s slow) Keeper(context.Context) (pid int, dropped int64, err error) {
	<-s.let
	return 0, 0, errors.New("none")
}

// Whoever reaches the address of --metrics-listen has room for as many connections as at the web page's; those beyond wait, and are answered.
func TestMetricsDoorIsBounded(t *testing.T) {
	const room, callers = 48, 100
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	counting := &counting{Listener: listener, enough: room, reached: make(chan struct{})}
	s := slow{make(chan struct{})}
	i := &inside{Handler: meter.NewHandler(meter.Config{Meter: meter.New(), Agent: s, Node: s})}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- i.serveMetrics(ctx, counting, logr.Discard()) }()
	var conns []net.Conn
	for range callers {
		conn, err := net.Dial("tcp", listener.Addr().String())
		must(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		must(t, err)
		conns = append(conns, conn)
	}
	<-counting.reached
	close(s.let)
	for _, conn := range conns {
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		must(t, err)
		_, err = io.Copy(io.Discard, response.Body)
		must(t, err)
	}
	if counting.most != room {
		t.Errorf("%d connections were open at one time, want %d", counting.most, room)
	}
	stop()
	must(t, <-done)
}
