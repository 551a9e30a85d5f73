package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The call, see https://github.com/grpc/grpc/blob/master/doc/health-checking.md and PROTOCOL-HTTP2.md beside it.
const (
	healthMethod = "/grpc.health.v1.Health/Check"
	preface      = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // RFC 9113, section 3.4
	callStream   = 1                                  // the first that a client may open
	maxAnswer    = 4 << 10                            // bytes of a HealthCheckResponse, which has two
)

// settings are no header table and no pushes, by SETTINGS_HEADER_TABLE_SIZE and SETTINGS_ENABLE_PUSH.
var settings = []byte{0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0}

// checkGRPC calls grpc.health.v1.Health/Check over a connection of its own. Nothing but the serving status is health.
func checkGRPC(ctx context.Context, p spec.GRPCProbe, dial Dialer) error {
	return converse(ctx, dial, p.Address, p.Port, func(conn net.Conn) error {
		if _, err := conn.Write(healthCall(net.JoinHostPort(p.Address, strconv.Itoa(p.Port)), p.Service)); err != nil {
			return fmt.Errorf("cannot ask: %w", cut(err))
		}
		status, err := (&call{conn: conn, frames: frames{from: conn}}).run()
		switch {
		case err != nil:
			return fmt.Errorf("no answer of gRPC: %w", err)
		case status == serving:
			return nil
		case status < uint64(len(servingStatuses)):
			return fmt.Errorf("its health is %s", servingStatuses[status])
		}
		return fmt.Errorf("its health is %d", status)
	})
}

// healthCall is everything that the client says unasked: preface, settings, headers and the request.
func healthCall(authority, service string) []byte {
	var fields []byte
	for _, h := range [][2]string{
		{":method", "POST"},
		{":scheme", "http"},
		{":path", healthMethod},
		{":authority", authority},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
		{"user-agent", "reconciler-probe"},
	} {
		fields = appendHeader(fields, h[0], h[1])
	}
	all := appendFrame([]byte(preface), frameSettings, 0, 0, settings)
	all = appendFrame(all, frameHeaders, flagEndHeaders, callStream, fields)
	return appendFrame(all, frameData, flagEndStream, callStream, healthRequest(service))
}

// call is what is heard of a call.
type call struct {
	conn   io.Writer
	frames frames
	begun  bool   // its headers were read
	answer []byte // what came of its message
}

// run reads until the answer is there, or cannot come any more.
func (c *call) run() (status uint64, err error) {
	for {
		f, err := c.frames.next()
		if err != nil {
			return 0, err
		}
		if f.kind == frameData && f.stream == callStream {
			status, complete, err := c.data(f)
			if err != nil || complete {
				return status, err
			}
			continue
		}
		if err := c.hear(f); err != nil {
			return 0, err
		}
	}
}

// hear heeds a frame that is not part of the message.
func (c *call) hear(f frame) error {
	switch f.kind {
	case frameSettings, framePing:
		return c.acknowledge(f)
	case frameHeaders:
		if f.stream == callStream {
			return c.headers(f)
		}
	case frameGoAway:
		return fmt.Errorf("it ends the connection: %s", reason(f.payload, 4))
	case frameReset:
		if f.stream == callStream {
			return fmt.Errorf("it ends the call: %s", reason(f.payload, 0))
		}
	case framePush, frameContinuation:
		return errFrame
	}
	return nil
}

// acknowledge answers settings and pings with what they want to hear.
func (c *call) acknowledge(f frame) error {
	if f.has(flagAck) {
		return nil
	}
	echo := f.payload
	if f.kind == frameSettings {
		echo = nil
	}
	if _, err := c.conn.Write(appendFrame(nil, f.kind, flagAck, 0, echo)); err != nil {
		return cut(err)
	}
	return nil
}

// headers reads the headers of the answer, which may go on in further frames and nothing between them. Those that end the call end it without an answer.
func (c *call) headers(f frame) error {
	body, err := f.body()
	if err != nil {
		return err
	}
	all := append([]byte(nil), body...) // within the bounds of frames
	for last := f; !last.has(flagEndHeaders); {
		if last, err = c.frames.next(); err != nil {
			return err
		}
		if last.kind != frameContinuation || last.stream != callStream {
			return errFrame
		}
		all = append(all, last.payload...)
	}
	h, err := readHeaders(all)
	switch {
	case err != nil:
		return err
	case h.grpcStatus > 0:
		return fmt.Errorf("status %s", codeName(h.grpcStatus))
	case h.status >= 0 && h.status != 200 && h.status >= 200:
		return fmt.Errorf("HTTP status %d", h.status)
	case f.has(flagEndStream):
		return errors.New("it ends the call without an answer")
	}
	c.begun = true
	return nil
}

// data takes a piece of the message, and reads it when it is whole.
func (c *call) data(f frame) (status uint64, complete bool, err error) {
	body, err := f.body()
	switch {
	case err != nil:
		return 0, false, err
	case !c.begun:
		return 0, false, errors.New("an answer without headers")
	case len(c.answer)+len(body) > maxAnswer:
		return 0, false, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	c.answer = append(c.answer, body...)
	if len(c.answer) >= 5 {
		length := binary.BigEndian.Uint32(c.answer[1:])
		switch {
		case c.answer[0] != 0:
			return 0, false, errors.New("an answer that is compressed, which nobody asked for")
		case length > maxAnswer:
			return 0, false, fmt.Errorf("an answer of %d bytes, more than %d", length, maxAnswer)
		case len(c.answer) >= 5+int(length):
			status, err := servingStatus(c.answer[5 : 5+length])
			return status, true, err
		}
	}
	if f.has(flagEndStream) {
		return 0, false, errors.New("it ends the call in the middle of its answer")
	}
	return 0, false, nil
}
