package api

import (
	"io"
	"net"
	"sync"
	"time"
)

// limitListener accepts no more than maxConnections at a time: further callers wait in the socket's backlog. Those who are not admins have a quota, and
// strangers a few of it; who is one too many of them is told so.
func limitListener(l net.Listener, judge func(Peer) Peer) net.Listener {
	others := quotaOf(maxConnections)
	return &limited{Listener: l, judge: judge, all: make(chan struct{}, maxConnections), few: map[Role]quota{
		None: {make(chan struct{}, maxStrangers), others.users}, Read: others, Operate: others,
	}}
}

type limited struct {
	net.Listener
	judge func(Peer) Peer // gives it its role
	all   chan struct{}
	few   map[Role]quota // of a role that may not have all
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		l.all <- struct{}{}
		conn, err := l.Listener.Accept()
		if err != nil {
			<-l.all
			return nil, err
		}
		if c := l.admit(conn); c != nil {
			return c, nil
		}
		<-l.all
	}
}

// admit asks once who is there. A peer that is not known has no role.
func (l *limited) admit(conn net.Conn) net.Conn {
	peer, err := peerOf(conn)
	if err == nil {
		peer = l.judge(peer)
	}
	release := func() {}
	if few, ok := l.few[peer.Role]; ok {
		if release, ok = few.take(peer.UID); !ok {
			turnAway(conn)
			return nil
		}
	}
	return &limitedConn{Conn: conn, peer: peer, release: sync.OnceFunc(func() {
		release()
		<-l.all
	})}
}

// turnAway tells somebody that there are too many; what it says fits into any socket's buffer.
func turnAway(conn net.Conn) {
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"+
		`{"error":{"reason":"Busy","message":"too many connections","hint":"close some, then try again"}}`+"\n")
	conn.Close()
}

type limitedConn struct {
	net.Conn
	peer    Peer
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
