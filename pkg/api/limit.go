package api

import (
	"net"
	"sync"
)

// limitListener accepts no more than n connections at a time; further callers wait in the socket's backlog.
func limitListener(l net.Listener, n int) net.Listener {
	return &limited{Listener: l, tokens: make(chan struct{}, n)}
}

type limited struct {
	net.Listener
	tokens chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	l.tokens <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.tokens
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.tokens })}, nil
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
