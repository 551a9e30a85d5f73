// Package netlink speaks netlink(7) with the kernel: requests and answers, batches, and the few verbs of rtnetlink(7) that a
// container's network needs. It knows messages, links, addresses and routes; it refuses to know what they are for.
package netlink

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Conn is a socket to one subsystem of the kernel in one network namespace, which it keeps alive. It is for one goroutine at a time.
type Conn struct {
	fd       int
	sequence uint32
	buffer   *[received]byte // from buffers, when something was read
}

// buffers are those of connections that are closed: many live for one question.
var buffers = sync.Pool{New: func() any { return new([received]byte) }}

// received is the room for one read: the kernel fills at most 32 KiB of a dump at a time, and at least what it is given here.
const received = 64 << 10

// Dial opens a socket to a subsystem, unix.NETLINK_ROUTE say, in a network namespace; nil is that of the process.
func Dial(ns *os.File, subsystem int) (*Conn, error) {
	c := &Conn{fd: -1}
	if err := Inside(ns, func() (err error) {
		c.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, subsystem)
		return err
	}); err != nil {
		return nil, fmt.Errorf("cannot open netlink socket: %w", err)
	}
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		c.Close()
		return nil, fmt.Errorf("cannot bind netlink socket: %w", err)
	}
	// Reasons in words, errors without a copy of the request, and dumps of what was asked for: 4.12, 4.12 and 4.20. Without
	// them all works, with fewer words and more to read.
	for _, option := range []int{unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK, unix.NETLINK_GET_STRICT_CHK} {
		_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, option, 1)
	}
	return c, nil
}

// Close closes the socket. Closing twice does nothing.
func (c *Conn) Close() error {
	fd := c.fd
	if c.fd = -1; fd < 0 {
		return nil
	}
	if c.buffer != nil {
		buffers.Put(c.buffer)
		c.buffer = nil
	}
	return unix.Close(fd)
}

// Answer is one message from the kernel.
type Answer struct {
	Kind uint16
	Body []byte
}

// Do sends a request and waits for the kernel's word that it is done.
func (c *Conn) Do(r *Request) error {
	_, err := c.Ask(r)
	return err
}

// dumps is how often a dump is repeated that the kernel says it could not make in one piece.
const dumps = 10

// Ask sends a request and gives the messages of the answer. A dump that was interrupted by a change is asked for again.
func (c *Conn) Ask(r *Request) (answers []Answer, err error) {
	for range dumps {
		if answers, err = c.ask(r); !errors.Is(err, errInterrupted) {
			return answers, err
		}
	}
	return nil, err
}

func (c *Conn) ask(r *Request) ([]Answer, error) {
	flags := r.flags | unix.NLM_F_REQUEST
	if flags&unix.NLM_F_DUMP != unix.NLM_F_DUMP {
		flags |= unix.NLM_F_ACK
	}
	c.sequence++
	message, err := r.encode(flags, c.sequence)
	if err != nil {
		return nil, err
	}
	if err := c.send(message); err != nil {
		return nil, err
	}
	return c.receive(c.sequence)
}

// receive gives the messages that answer a request, up to the one that ends the answer.
func (c *Conn) receive(sequence uint32) (answers []Answer, err error) {
	interrupted := false
	for {
		data, err := c.read(0)
		if err != nil {
			return nil, err
		}
		for len(data) > 0 {
			m, rest, err := split(data)
			if err != nil {
				return nil, err
			}
			data = rest
			if m.sequence != sequence { // the answer to an earlier request that was given up
				continue
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch m.kind {
			case unix.NLMSG_ERROR, unix.NLMSG_DONE:
				if err := m.failure(); err != nil || !interrupted {
					return answers, err
				}
				return nil, errInterrupted
			case unix.NLMSG_NOOP:
			default:
				answers = append(answers, Answer{m.kind, append([]byte(nil), m.body...)})
			}
		}
	}
}

// errInterrupted says that what was dumped changed meanwhile.
var errInterrupted = errors.New("the kernel's tables changed with every try to read them")

// send sends whole messages, all of them or none.
func (c *Conn) send(messages []byte) error {
	for {
		err := unix.Sendto(c.fd, messages, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return wrap("send", err)
		}
	}
}

// read reads what the kernel has sent at once; what other processes send is not heard.
func (c *Conn) read(flags int) ([]byte, error) {
	if c.buffer == nil {
		c.buffer = buffers.Get().(*[received]byte)
	}
	for {
		n, _, flags, from, err := unix.Recvmsg(c.fd, c.buffer[:], nil, flags)
		switch sender, ok := from.(*unix.SockaddrNetlink); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, wrap("receive", err)
		case ok && sender.Pid != 0:
		case flags&unix.MSG_TRUNC != 0:
			return nil, fmt.Errorf("cannot receive from netlink: an answer of more than %d bytes", received)
		default:
			return c.buffer[:n], nil
		}
	}
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s by netlink: %w", what, err)
}
