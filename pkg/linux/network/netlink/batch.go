package netlink

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Batch gives requests to a subsystem of netfilter as one transaction: all of them happen or none.
//
// The kernel works on a batch within the call that sends it, and answers with an error for each request that failed, with one for
// the beginning when the whole could not be committed, and with the word asked for from the last request. See
// net/netfilter/nfnetlink.c.
func (c *Conn) Batch(subsystem uint16, requests ...*Request) error {
	if len(requests) == 0 {
		return nil
	}
	c.sequence++
	first := c.sequence
	data, err := batchEdge(unix.NFNL_MSG_BATCH_BEGIN, subsystem).encode(unix.NLM_F_REQUEST, first)
	if err != nil {
		return err
	}
	for i, r := range requests {
		flags := r.flags | unix.NLM_F_REQUEST
		if i == len(requests)-1 {
			flags |= unix.NLM_F_ACK
		}
		c.sequence++
		message, err := r.encode(flags, c.sequence)
		if err != nil {
			return err
		}
		data = append(data, message...)
	}
	acked := c.sequence
	c.sequence++
	end, err := batchEdge(unix.NFNL_MSG_BATCH_END, subsystem).encode(unix.NLM_F_REQUEST, c.sequence)
	if err != nil {
		return err
	}
	data = append(data, end...)
	if err := c.room(len(data)); err != nil {
		return err
	}
	if err := c.send(data); err != nil {
		return err
	}
	return c.outcome(first, acked)
}

// batchEdge is the message that begins or ends a batch. Its struct nfgenmsg names the subsystem in place of a resource.
func batchEdge(kind, subsystem uint16) *Request {
	return NewRequest(kind, 0, Netfilter(unix.AF_UNSPEC, subsystem))
}

// room makes the socket take a message of a size, with what the kernel counts beside it.
func (c *Conn) room(size int) error {
	if now, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF); err == nil && now >= 2*size+4096 {
		return nil
	}
	if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 2*size+4096); err != nil {
		return fmt.Errorf("cannot make room for %d bytes in a netlink socket: %w", size, err)
	}
	return nil
}

// outcome reads all answers to a batch whose sequence numbers begin with first and whose last request has the number acked.
func (c *Conn) outcome(first, acked uint32) error {
	answered := false
	var failure error
	for {
		data, err := c.read(unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN) && (answered || failure != nil):
			return failure
		case err != nil:
			return errors.Join(failure, err)
		}
		for len(data) > 0 {
			m, rest, err := split(data)
			if err != nil {
				return errors.Join(failure, err)
			}
			data = rest
			if m.kind != unix.NLMSG_ERROR || m.sequence-first > acked+1-first {
				continue
			}
			answered = answered || m.sequence == acked
			if err := m.failure(); err != nil && failure == nil {
				failure = err
			}
		}
	}
}
