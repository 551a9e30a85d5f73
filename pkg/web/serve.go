package web

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

// What all who call at one address together may cost. A browser has at most six connections to one host.
const (
	maxConnections = 48
	maxHeader      = 16 << 10
)

// HostPort says why an address is no HOST:PORT with a port that there can be, such as 127.0.0.1:9464, :0. Whether it can be had only the machine shows.
func HostPort(address string) (host string, err error) {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return "", fmt.Errorf("cannot serve at %q: %v\nhint: say HOST:PORT, such as 127.0.0.1:9464", address, err)
	}
	return host, nil
}

// Loopback says why an address is no HostPort of this node's loopback, such as 127.0.0.1:9465, [::1]:0, localhost:9465.
func Loopback(address string) error {
	host, err := HostPort(address)
	if err != nil {
		return err
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.Unmap().IsLoopback()) {
		return fmt.Errorf("cannot serve the web page at %q: it is no loopback address\n"+
			"hint: say 127.0.0.1:9465, and reach it from elsewhere with ssh -L 9465:127.0.0.1:9465 NODE", address)
	}
	return nil
}

// Listen listens at a Loopback address.
func Listen(address string) (net.Listener, error) {
	if err := Loopback(address); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot serve the web page: %w", err)
	}
	if at, ok := listener.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() { // what localhost is, a file says
		listener.Close()
		return nil, fmt.Errorf("cannot serve the web page at %q: that is %v, no loopback address\nhint: say 127.0.0.1:9465", address, listener.Addr())
	}
	return listener, nil
}

// few are a listener's connections, as many as there is room for; further ones wait in its backlog.
type few struct {
	net.Listener
	room chan struct{}
}

// Accept waits for room, then for a connection.
func (f *few) Accept() (net.Conn, error) {
	f.room <- struct{}{}
	conn, err := f.Listener.Accept()
	if err != nil {
		<-f.room
		return nil, err
	}
	return &one{conn, sync.OnceFunc(func() { <-f.room })}, nil
}

type one struct {
	net.Conn
	leave func()
}

func (o *one) Close() error {
	defer o.leave()
	return o.Conn.Close()
}

// Serve answers with a handler until ctx ends, to 48 connections at one time; one that says nothing for 5 s is closed, so that further ones, which wait, get their turn. A handler
// may take its time, and has what it says taken within a deadline of its own.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, log logr.Logger) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: writeTimeout, IdleTimeout: 5 * time.Second, MaxHeaderBytes: maxHeader,
		ErrorLog: api.ErrorLog(log),
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(&few{listener, make(chan struct{}, maxConnections)}); ctx.Err() == nil {
		return fmt.Errorf("cannot serve http://%s any more: %w", listener.Addr(), err)
	}
	return nil
}
