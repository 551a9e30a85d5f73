package api

import (
	"io"
	"net"
	"sync"
	"time"
)

// limitListener accepts no more than maxConnections at a time: further callers wait in the socket's backlog. So that root always gets
// through, a part is kept from those who are not admins, each user of them has a quarter at most, and strangers get a few; who is one too many of them is told
// so.
func limitListener(l net.Listener, judge func(Peer) Peer) net.Listener {
	others := make(chan struct{}, maxConnections*3/4)
	return &limited{Listener: l, judge: judge, all: make(chan struct{}, maxConnections), few: map[Role]chan struct{}{
		None: make(chan struct{}, maxStrangers), Read: others, Operate: others,
	}, users: newUsers(maxConnections / 4)}
}

type limited struct {
	net.Listener
	judge func(Peer) Peer // gives it its role
	all   chan struct{}
	few   map[Role]chan struct{} // of a role that may not have all
	// users have so many of those.
	users *users
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
	release, ok := l.take(peer)
	if !ok {
		turnAway(conn)
		return nil
	}
	return &limitedConn{Conn: conn, peer: peer, release: sync.OnceFunc(func() {
		release()
		<-l.all
	})}
}

// take takes a place among the few of a role, which release gives back.
func (l *limited) take(peer Peer) (release func(), ok bool) {
	few := l.few[peer.Role]
	if few == nil {
		return func() {}, true
	}
	if !l.users.take(peer.UID) {
		return nil, false
	}
	select {
	case few <- struct{}{}:
		return func() { <-few; l.users.give(peer.UID) }, true
	default:
		l.users.give(peer.UID)
		return nil, false
	}
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
