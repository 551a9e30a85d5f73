package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Bounds of what a peer may send in one exchange of HTTP/2: a health check takes four frames and some hundred bytes.
const (
	maxFrame  = 16 << 10 // bytes of one, SETTINGS_MAX_FRAME_SIZE of who says nothing: RFC 9113, section 6.5.2
	maxFrames = 128
	maxRead   = 64 << 10 // bytes in all
)

// The frames that an exchange knows, by type, and their flags. See RFC 9113, section 6.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePush         = 0x5
	framePing         = 0x6
	frameGoAway       = 0x7
	frameContinuation = 0x9

	flagAck        = 0x1 // of SETTINGS and PING
	flagEndStream  = 0x1 // of DATA and HEADERS
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// frame is one frame.
type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte // until the next is read
}

func (f frame) has(flag byte) bool { return f.flags&flag != 0 }

// frames reads frames within the bounds.
type frames struct {
	from   io.Reader
	count  int
	read   int
	buffer [maxFrame]byte
}

// next is the next frame.
func (r *frames) next() (f frame, err error) {
	var head [9]byte
	if _, err := io.ReadFull(r.from, head[:]); err != nil {
		return f, cut(err)
	}
	length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	f = frame{kind: head[3], flags: head[4], stream: binary.BigEndian.Uint32(head[5:]) & (1<<31 - 1)}
	switch {
	case r.count == 0 && (f.kind != frameSettings || f.stream != 0 || f.has(flagAck)):
		return f, errors.New("it does not speak HTTP/2")
	case length > maxFrame:
		return f, fmt.Errorf("a frame of %d bytes, more than %d", length, maxFrame)
	}
	r.count++
	r.read += len(head) + length
	if r.count > maxFrames || r.read > maxRead {
		return f, fmt.Errorf("more than %d frames or %d bytes without an answer", maxFrames, maxRead)
	}
	f.payload = r.buffer[:length]
	if _, err := io.ReadFull(r.from, f.payload); err != nil {
		return f, cut(err)
	}
	return f, nil
}

// errFrame is a frame whose parts do not fit.
var errFrame = errors.New("a frame that contradicts itself")

// body is the payload of DATA or HEADERS without padding and priority.
func (f frame) body() ([]byte, error) {
	body := f.payload
	if f.has(flagPadded) {
		if len(body) == 0 || int(body[0]) >= len(body) {
			return nil, errFrame
		}
		body = body[1 : len(body)-int(body[0])]
	}
	if f.kind == frameHeaders && f.has(flagPriority) {
		if len(body) < 5 {
			return nil, errFrame
		}
		body = body[5:]
	}
	return body, nil
}

// appendFrame appends a frame.
func appendFrame(to []byte, kind, flags byte, stream uint32, payload []byte) []byte {
	to = append(to, byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload)), kind, flags)
	to = binary.BigEndian.AppendUint32(to, stream)
	return append(to, payload...)
}
