package criu

import (
	"os"
	"testing"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"
)

// peer is a criu that does what a test says: a program over the far end of a pair.
type peer struct {
	t  *testing.T
	f  *os.File
	at chan struct{} // closed when the script has ended
}

// play runs a script as the peer of a conversation of its own. The far end is closed when the script ends, as it is when criu does.
func play(t *testing.T, script func(p *peer)) *Conn {
	t.Helper()
	c, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, f: theirs, at: make(chan struct{})}
	go func() {
		defer close(p.at)
		defer theirs.Close()
		script(p)
	}()
	t.Cleanup(func() {
		c.Close()
		<-p.at
	})
	return c
}

// read takes one request; nil when the conversation is over.
func (p *peer) read() *rpc.CriuReq {
	buf := make([]byte, maxMessage)
	n, err := unix.Read(int(p.f.Fd()), buf)
	if err != nil || n == 0 {
		return nil
	}
	req := &rpc.CriuReq{}
	if err := req.UnmarshalVT(buf[:n]); err != nil {
		p.t.Errorf("the peer cannot read: %v", err)
		return nil
	}
	return req
}

// write sends a message with descriptors.
func (p *peer) write(resp *rpc.CriuResp, fds ...int) {
	data, err := resp.MarshalVT()
	if err != nil {
		p.t.Error(err)
		return
	}
	p.raw(data, fds...)
}

func (p *peer) raw(data []byte, fds ...int) {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	unix.SetsockoptInt(int(p.f.Fd()), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4*maxMessage)
	unix.Sendmsg(int(p.f.Fd()), data, oob, nil, unix.MSG_NOSIGNAL) // the near end may be gone
}

// notify sends a notification and tells whether it was agreed to.
func (p *peer) notify(point string, pid int32, fds ...int) bool {
	p.write(notification(point, pid), fds...)
	req := p.read()
	return req != nil && req.GetType() == rpc.CriuReqType_NOTIFY && req.GetNotifySuccess()
}

func notification(point string, pid int32) *rpc.CriuResp {
	n := &rpc.CriuNotify{Script: &point}
	if pid != 0 {
		n.Pid = &pid
	}
	return &rpc.CriuResp{Type: rpc.CriuReqType_NOTIFY.Enum(), Success: new(true), Notify: n}
}

func reply(kind rpc.CriuReqType, success bool) *rpc.CriuResp {
	return &rpc.CriuResp{Type: kind.Enum(), Success: &success}
}
