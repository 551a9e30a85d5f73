package api

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// SessionProtocol is the word of the Upgrade header that turns a request for exec or attach into a session. Both sides then
// send frames: one byte for the type, four for the length of the payload, the most significant first, and the payload.
//
// The agent sends Begin first and Exit or Failed last. The client may send up to InputWindow bytes of Stdin that the agent has not yet
// said to be Taken, so that a process that does not read its input is still resized, signalled and ended.
const SessionProtocol = "reconciler.session.v1"

// FrameType says what a frame carries.
type FrameType byte

// The types of frame: those of the client, then those of the agent.
const (
	FrameStdin    FrameType = 0x01 // bytes
	FrameStdinEnd FrameType = 0x02 // nothing: there is no more input
	FrameResize   FrameType = 0x03 // a spec.TerminalSize as JSON
	FrameSignal   FrameType = 0x04 // the name of a signal

	FrameBegin  FrameType = 0x81 // a Begin as JSON
	FrameStdout FrameType = 0x82 // bytes
	FrameStderr FrameType = 0x83 // bytes
	FrameTaken  FrameType = 0x84 // a number of bytes of input, 4 bytes
	FrameExit   FrameType = 0x85 // a spec.Exit as JSON: how the process ended
	FrameFailed FrameType = 0x86 // an Error as JSON: why the session ended before the process
)

// Bounds of frames.
const (
	MaxPayload  = 64 << 10
	InputWindow = 4 * MaxPayload
	frameHeader = 5
)

// ErrFrame tells that what was received is no frame of a session.
var ErrFrame = errors.New("bad frame")

// Begin says what a session has.
type Begin struct {
	Pid    int  `json:"pid,omitzero"` // of the process, as the node sees it, where known
	Stdin  bool `json:"stdin,omitzero"`
	Stdout bool `json:"stdout,omitzero"`
	Stderr bool `json:"stderr,omitzero"` // a process with a terminal has none
}

// FrameReader reads frames.
type FrameReader struct {
	from    *bufio.Reader
	payload []byte
}

// NewFrameReader reads frames from a reader.
func NewFrameReader(r io.Reader) *FrameReader {
	return &FrameReader{from: bufio.NewReader(r)}
}

// Next is the next frame; its payload is good until the next call. io.EOF only between frames, ErrFrame for one that is too large.
func (r *FrameReader) Next() (FrameType, []byte, error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r.from, header[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(header[1:])
	if size > MaxPayload {
		return 0, nil, fmt.Errorf("%w: %d bytes, more than %d", ErrFrame, size, MaxPayload)
	}
	if int(size) > cap(r.payload) {
		r.payload = make([]byte, max(int(size), min(2*cap(r.payload), MaxPayload)))
	}
	payload := r.payload[:size]
	if _, err := io.ReadFull(r.from, payload); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return FrameType(header[0]), payload, nil
}

// FrameWriter writes frames, each with one write. It may be used by many goroutines. After a write that failed there is none.
type FrameWriter struct {
	mu    sync.Mutex
	to    io.Writer
	frame []byte
	err   error
}

// NewFrameWriter writes frames to a writer.
func NewFrameWriter(w io.Writer) *FrameWriter { return &FrameWriter{to: w} }

// Send sends one frame of at most MaxPayload.
func (w *FrameWriter) Send(t FrameType, payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrFrame, len(payload), MaxPayload)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	w.frame = append(w.frame[:0], byte(t))
	w.frame = binary.BigEndian.AppendUint32(w.frame, uint32(len(payload)))
	w.frame = append(w.frame, payload...)
	_, w.err = w.to.Write(w.frame)
	return w.err
}

// SendJSON sends one frame with a value.
func (w *FrameWriter) SendJSON(t FrameType, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Send(t, payload)
}

// SendTaken tells how many bytes of input were taken.
func (w *FrameWriter) SendTaken(n int) error {
	return w.Send(FrameTaken, binary.BigEndian.AppendUint32(nil, uint32(n)))
}

// Taken reads the payload of a FrameTaken.
func Taken(payload []byte) (int, error) {
	if len(payload) != 4 {
		return 0, fmt.Errorf("%w: %d bytes for a number", ErrFrame, len(payload))
	}
	n := binary.BigEndian.Uint32(payload)
	if n > InputWindow {
		return 0, fmt.Errorf("%w: took %d bytes, more than %d", ErrFrame, n, InputWindow)
	}
	return int(n), nil
}
