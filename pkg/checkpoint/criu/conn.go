package criu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"
)

// What a peer may do at most.
const (
	maxMessage       = 1 << 20
	maxNotifications = 256
	maxDescriptors   = 4 // more than any message has, so that too many are seen and closed
	silence          = 10 * time.Minute
)

// ErrNonsense tells that what answers on the socket is no criu, or one that went mad.
var ErrNonsense = errors.New("criu does not keep to its protocol")

// Conn is the near end of a conversation with one criu. Version, Features and CPU may be asked one after another; a Dump, PreDump or Restore is
// the last request, criu ends with it. A Conn is for one goroutine.
type Conn struct {
	// Kill ends criu and what it started. It is called, at most once a verb, when the verb's context ends or the peer does not keep to the
	// protocol; closing the socket alone reaches a criu only that reads from it. nil: who started criu does it.
	Kill func()
	// Silence is how long criu may say nothing. Default 10 minutes.
	Silence time.Duration

	conn *net.UnixConn
	buf  []byte
}

// Pair makes the two ends of a conversation: a Conn of this process, and the end that a criu is to be started with. Both are closed by the caller.
func Pair() (c *Conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a socket pair for criu: %w", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "criu")
	ours := os.NewFile(uintptr(fds[0]), "criu")
	defer ours.Close()
	c, err = NewConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return c, theirs, nil
}

// NewConn takes the near end of a socket pair of type SOCK_SEQPACKET. The file stays the caller's. criu opens the files of options in the process that
// made the pair, whoever talks.
func NewConn(f *os.File) (*Conn, error) {
	if kind, err := unix.GetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_SEQPACKET {
		return nil, fmt.Errorf("cannot talk to criu: %s is no socket that keeps messages apart: %w", f.Name(), errors.Join(os.ErrInvalid, err))
	}
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("cannot talk to criu: %w", err)
	}
	// A request with a thousand mounts is one message.
	if raw, err := conn.(*net.UnixConn).SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, maxMessage) })
	}
	return &Conn{conn: conn.(*net.UnixConn)}, nil
}

// Close ends the conversation. A criu that is in the middle of a dump lets the processes run on, one in the middle of a restore kills them.
func (c *Conn) Close() error { return c.conn.Close() }

// call sends a request and answers notifications until the reply is there. When ctx ends, criu is killed, and the error is the context's cause even if
// the reply came in the same moment: whoever asks for the end of a verb may rely on it.
func (c *Conn) call(ctx context.Context, req *rpc.CriuReq, n Notify) (resp *rpc.CriuResp, failed *NotifyError, err error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	kill := sync.OnceFunc(func() {
		unix.Shutdown(c.fd(), unix.SHUT_RDWR) // first: who waits for an answer need not be killed
		if c.Kill != nil {
			c.Kill()
		}
	})
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		kill()
	})
	resp, failed, err = c.converse(ctx, req, n)
	if !stop() {
		<-ended
		return nil, failed, fmt.Errorf("criu was ended: %w", context.Cause(ctx))
	}
	if errors.Is(err, ErrNonsense) || errors.Is(err, os.ErrDeadlineExceeded) {
		kill()
	}
	return resp, failed, err
}

// fd is the socket's descriptor, -1 once it is closed.
func (c *Conn) fd() (fd int) {
	fd = -1
	if raw, err := c.conn.SyscallConn(); err == nil {
		raw.Control(func(n uintptr) { fd = int(n) })
	}
	return fd
}

// converse is one request with what comes of it.
func (c *Conn) converse(ctx context.Context, req *rpc.CriuReq, n Notify) (*rpc.CriuResp, *NotifyError, error) {
	if err := c.send(req); err != nil {
		return nil, nil, err
	}
	var failed *NotifyError
	for range maxNotifications {
		resp, master, err := c.receive()
		if err != nil {
			return nil, failed, err
		}
		if resp.GetType() != rpc.CriuReqType_NOTIFY {
			return resp, failed, checkReply(req, resp, master)
		}
		answer, err := n.answer(ctx, resp.GetNotify(), master)
		if errors.Is(err, ErrNonsense) {
			return nil, failed, err
		}
		if err != nil && failed == nil {
			failed = &NotifyError{Point: resp.GetNotify().GetScript(), Err: err}
		}
		if err := c.send(answer); err != nil {
			return nil, failed, err
		}
	}
	return nil, failed, fmt.Errorf("%w: more than %d notifications", ErrNonsense, maxNotifications)
}

// checkReply refuses a reply to something else. A request that criu cannot read at all has a reply of type EMPTY.
func checkReply(req *rpc.CriuReq, resp *rpc.CriuResp, fd *os.File) error {
	if fd != nil {
		fd.Close()
		return fmt.Errorf("%w: a descriptor with a reply", ErrNonsense)
	}
	if got, want := resp.GetType(), req.GetType(); got != want && (got != rpc.CriuReqType_EMPTY || resp.GetSuccess()) {
		return fmt.Errorf("%w: a reply to %v, not to %v", ErrNonsense, got, want)
	}
	return nil
}

// send writes one message.
func (c *Conn) send(req *rpc.CriuReq) error {
	data, err := req.MarshalVT()
	if err != nil {
		return fmt.Errorf("cannot write a request to criu: %w", err)
	}
	c.conn.SetWriteDeadline(time.Now().Add(c.silence()))
	if _, err := c.conn.Write(data); err != nil {
		return fmt.Errorf("cannot write a request to criu: %w", gone(err))
	}
	return nil
}

// receive reads one message and the descriptor that came with it, nil for none.
func (c *Conn) receive() (*rpc.CriuResp, *os.File, error) {
	if c.buf == nil {
		c.buf = make([]byte, maxMessage)
	}
	oob := make([]byte, unix.CmsgSpace(4*maxDescriptors))
	c.conn.SetReadDeadline(time.Now().Add(c.silence()))
	n, oobn, flags, _, err := c.conn.ReadMsgUnix(c.buf, oob)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read a reply of criu: %w", gone(err))
	}
	fd, err := descriptor(oob[:oobn])
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = fmt.Errorf("%w: a message of more than %d bytes, or with too many descriptors", ErrNonsense, maxMessage)
	}
	resp := &rpc.CriuResp{}
	if err == nil {
		err = decode(resp, c.buf[:n])
	}
	if err != nil {
		if fd != nil {
			fd.Close()
		}
		return nil, nil, err
	}
	return resp, fd, nil
}

// decode reads a message. Unlike criu's own decoder, this one does not ask for the fields that must be there.
func decode(resp *rpc.CriuResp, data []byte) error {
	if err := resp.UnmarshalVT(data); err != nil {
		return fmt.Errorf("%w: %v", ErrNonsense, err)
	}
	if resp.Type == nil || resp.Success == nil {
		return fmt.Errorf("%w: a message without a type", ErrNonsense)
	}
	return nil
}

// descriptor takes the descriptor out of a control message. More than one is closed and an error.
func descriptor(oob []byte) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrNonsense, err)
	}
	var all []int
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // credentials: nobody asked
		}
		all = append(all, fds...)
	}
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		return os.NewFile(uintptr(all[0]), "from criu"), nil
	}
	for _, fd := range all {
		unix.Close(fd)
	}
	return nil, fmt.Errorf("%w: %d descriptors in one message", ErrNonsense, len(all))
}

func (c *Conn) silence() time.Duration {
	if c.Silence > 0 {
		return c.Silence
	}
	return silence
}

// gone says in words what a broken conversation means.
func gone(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
		return errGone
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it says nothing: %w", os.ErrDeadlineExceeded)
	}
	return err
}

// errGone tells that criu ended without a reply.
var errGone = errors.New("it has ended, or was killed")
