package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrMalformed says that a message is not what netlink(7) describes.
var ErrMalformed = errors.New("malformed netlink message")

// message is one from the kernel; body is part of what was read.
type message struct {
	kind, flags uint16
	sequence    uint32
	body        []byte
}

// split takes the first message off what was read.
func split(data []byte) (m message, rest []byte, err error) {
	if len(data) < unix.SizeofNlMsghdr {
		return m, nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(data))
	}
	length := binary.NativeEndian.Uint32(data)
	if length < unix.SizeofNlMsghdr || uint64(length) > uint64(len(data)) {
		return m, nil, fmt.Errorf("%w: length %d of %d", ErrMalformed, length, len(data))
	}
	m = message{
		kind: binary.NativeEndian.Uint16(data[4:]), flags: binary.NativeEndian.Uint16(data[6:]),
		sequence: binary.NativeEndian.Uint32(data[8:]), body: data[unix.SizeofNlMsghdr:length],
	}
	return m, data[min(aligned(int(length)), len(data)):], nil
}

func aligned(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

// Error is the kernel's refusal of a request. It unwraps to its errno.
type Error struct {
	Errno unix.Errno
	Text  string // the kernel's own words, "" when it has none
}

func (e *Error) Error() string {
	if e.Text == "" {
		return e.Errno.Error()
	}
	return e.Errno.Error() + " (" + e.Text + ")"
}

func (e *Error) Unwrap() error { return e.Errno }

// failure reads a message that ends an answer: nil when all went well. NLMSG_ERROR has a struct nlmsgerr, which begins with the
// errno and the header of the request; NLMSG_DONE has the errno alone, or nothing.
func (m message) failure() error {
	if len(m.body) < 4 {
		if m.kind == unix.NLMSG_DONE {
			return nil
		}
		return fmt.Errorf("%w: an error of %d bytes", ErrMalformed, len(m.body))
	}
	code := int32(binary.NativeEndian.Uint32(m.body))
	if code == 0 {
		return nil
	}
	return &Error{Errno: unix.Errno(-code), Text: m.words()}
}

// words are the kernel's words for an error, in the attributes after the request's header.
func (m message) words() (text string) {
	skip := 4
	if m.kind == unix.NLMSG_ERROR {
		if skip += unix.SizeofNlMsghdr; len(m.body) < skip {
			return ""
		}
		if m.flags&unix.NLM_F_CAPPED == 0 { // the whole request follows
			length := binary.NativeEndian.Uint32(m.body[4:])
			if length < unix.SizeofNlMsghdr || uint64(length) > uint64(len(m.body)) {
				return ""
			}
			skip = 4 + aligned(int(length))
		}
	}
	if m.flags&unix.NLM_F_ACK_TLVS == 0 || len(m.body) < skip {
		return ""
	}
	_ = Attributes(m.body[skip:], func(kind uint16, value []byte) error {
		if kind == unix.NLMSGERR_ATTR_MSG {
			text = Text(value)
		}
		return nil
	})
	return text
}

// Attributes calls each with every attribute of data: its kind without flags and its value, which is part of data. It ends with the first error.
func Attributes(data []byte, each func(kind uint16, value []byte) error) error {
	for len(data) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(data))
		if length < unix.SizeofRtAttr || length > len(data) {
			return fmt.Errorf("%w: an attribute of length %d in %d bytes", ErrMalformed, length, len(data))
		}
		kind := binary.NativeEndian.Uint16(data[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if err := each(kind, data[unix.SizeofRtAttr:length]); err != nil {
			return err
		}
		data = data[min(aligned(length), len(data)):]
	}
	return nil
}

// Text is the text of an attribute, up to its NUL.
func Text(value []byte) string { return unix.ByteSliceToString(value) }

// Uint32 is the number of an attribute, 0 when it is none.
func Uint32(value []byte) uint32 {
	if len(value) != 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(value)
}
