package netlink

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"golang.org/x/sys/unix"
)

// Request is a message to the kernel while it is written. A value that does not fit makes the request fail as a whole: no length is
// ever cut short, so that nothing in a value can be read as what follows it.
type Request struct {
	kind, flags uint16
	body        []byte
	err         error
}

// NewRequest begins a message of a kind, unix.RTM_NEWLINK say, with the struct that comes before its attributes.
func NewRequest(kind, flags uint16, header []byte) *Request {
	return &Request{kind: kind, flags: flags, body: append(make([]byte, 0, 256), pad(header)...)}
}

// Netfilter is the struct nfgenmsg of a protocol family and a resource or, in a batch's ends, subsystem.
func Netfilter(family uint8, resource uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{family, 0}, resource)
}

// attributeMax is what the 16 bits of a length leave for a value after the header of an attribute.
const attributeMax = math.MaxUint16 - unix.SizeofRtAttr

// Bytes adds an attribute.
func (r *Request) Bytes(attribute uint16, value []byte) {
	if len(value) > attributeMax {
		r.fail(attribute, fmt.Errorf("%d bytes, more than %d", len(value), attributeMax))
		return
	}
	r.body = binary.NativeEndian.AppendUint16(r.body, uint16(unix.SizeofRtAttr+len(value)))
	r.body = binary.NativeEndian.AppendUint16(r.body, attribute)
	r.body = pad(append(r.body, value...))
}

// Text adds an attribute that ends with a NUL, and thus has no other.
func (r *Request) Text(attribute uint16, value string) {
	if strings.Contains(value, "\x00") {
		r.fail(attribute, fmt.Errorf("%q has a NUL", value))
		return
	}
	r.Bytes(attribute, append([]byte(value), 0))
}

// Uint8 adds an attribute of one byte.
func (r *Request) Uint8(attribute uint16, value uint8) { r.Bytes(attribute, []byte{value}) }

// Uint32 adds an attribute in the machine's byte order, as rtnetlink has them.
func (r *Request) Uint32(attribute uint16, value uint32) {
	r.Bytes(attribute, binary.NativeEndian.AppendUint32(nil, value))
}

// Big32 adds an attribute in network byte order, as netfilter has them.
func (r *Request) Big32(attribute uint16, value uint32) {
	r.Bytes(attribute, binary.BigEndian.AppendUint32(nil, value))
}

// Nest adds an attribute whose value are the attributes that fill adds.
func (r *Request) Nest(attribute uint16, fill func()) {
	start := len(r.body)
	r.body = append(r.body, 0, 0, 0, 0)
	fill()
	length := len(r.body) - start
	if length > math.MaxUint16 {
		r.fail(attribute, fmt.Errorf("%d bytes, more than %d", length-unix.SizeofRtAttr, attributeMax))
		return
	}
	binary.NativeEndian.PutUint16(r.body[start:], uint16(length))
	binary.NativeEndian.PutUint16(r.body[start+2:], attribute|unix.NLA_F_NESTED)
}

// Raw adds what comes before the attributes of a nest, as the ifinfomsg of a veth's peer does.
func (r *Request) Raw(header []byte) { r.body = pad(append(r.body, header...)) }

// Body is what follows the message's header.
func (r *Request) Body() []byte { return r.body }

// Len is the size of the message so far.
func (r *Request) Len() int { return unix.SizeofNlMsghdr + len(r.body) }

func (r *Request) fail(attribute uint16, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("cannot write attribute %d of netlink message %d: %w", attribute, r.kind, err)
	}
}

// encode is the whole message: struct nlmsghdr and body. Bodies are always multiples of 4 long, so that messages follow each other.
func (r *Request) encode(flags uint16, sequence uint32) ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	b := make([]byte, 0, r.Len())
	b = binary.NativeEndian.AppendUint32(b, uint32(r.Len()))
	b = binary.NativeEndian.AppendUint16(b, r.kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, sequence)
	b = binary.NativeEndian.AppendUint32(b, 0) // the kernel knows the sender
	return append(b, r.body...), nil
}

// pad fills up to a multiple of 4, NLMSG_ALIGNTO and NLA_ALIGNTO.
func pad(b []byte) []byte {
	for len(b)%unix.NLMSG_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}
