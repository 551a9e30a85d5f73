package probe

import (
	"errors"
	"strconv"
)

// Of header compression, RFC 7541, an exchange needs little: it writes every header as it is, and reads two, whose values are digits. No table is
// kept: the peer is told that there is none, by SETTINGS_HEADER_TABLE_SIZE.

// errHeaders are headers that cannot be read.
var errHeaders = errors.New("headers that cannot be read")

// statuses are the values of :status in the static table, from statusIndex on. See RFC 7541, appendix A.
var statuses = []int{200, 204, 206, 304, 400, 404, 500}

const statusIndex = 8

// grpcStatusPacked is the name grpc-status as Huffman's code packs it, RFC 7541, appendix B.
const grpcStatusPacked = "\x9a\xca\xc8\xb2\x12\x34\xda\x8f"

// appendHeader appends a header, literally and not to be indexed.
func appendHeader(to []byte, name, value string) []byte {
	to = append(to, 0)
	to = append(appendInt(to, len(name)), name...)
	return append(appendInt(to, len(value)), value...)
}

// appendInt appends a length of 7 bits and more, RFC 7541, section 5.1.
func appendInt(to []byte, n int) []byte {
	const most = 1<<7 - 1
	if n < most {
		return append(to, byte(n))
	}
	to = append(to, most)
	for n -= most; n >= 1<<7; n >>= 7 {
		to = append(to, byte(n)|1<<7)
	}
	return append(to, byte(n))
}

// headers are those two that an exchange reads; -1 for what is not there.
type headers struct{ status, grpcStatus int }

// block reads a block of headers.
type block []byte

func readHeaders(b block) (h headers, err error) {
	h = headers{-1, -1}
	for len(b) > 0 {
		if err := b.header(&h); err != nil {
			return h, err
		}
	}
	return h, nil
}

// header reads one header, by what its first byte says of it, RFC 7541, section 6.
func (b *block) header(h *headers) error {
	switch first := (*b)[0]; {
	case first&0x80 != 0: // indexed
		i, err := b.int(7)
		if at := i - statusIndex; err == nil && at >= 0 && at < len(statuses) {
			h.status = statuses[at]
		}
		return err
	case first&0xe0 == 0x20: // the size of a table
		_, err := b.int(5)
		return err
	case first&0x40 != 0: // a literal that is to be indexed
		return b.literal(6, h)
	default:
		return b.literal(4, h)
	}
}

func (b *block) literal(prefix int, h *headers) error {
	index, err := b.int(prefix)
	if err != nil {
		return err
	}
	name := ""
	if index == 0 {
		if name, _, err = b.text(); err != nil {
			return err
		}
	}
	value, packed, err := b.text()
	if err != nil {
		return err
	}
	switch {
	case index >= statusIndex && index < statusIndex+len(statuses), name == ":status":
		h.status = number(value, packed)
	case name == "grpc-status" || name == grpcStatusPacked:
		h.grpcStatus = number(value, packed)
	}
	return nil
}

// int reads a number that begins in the last bits of a byte.
func (b *block) int(prefix int) (n int, err error) {
	most := 1<<prefix - 1
	next := func() int {
		if len(*b) == 0 {
			err = errHeaders
			return 0
		}
		c := (*b)[0]
		*b = (*b)[1:]
		return int(c)
	}
	if n = next() & most; n < most {
		return n, err
	}
	for shift := 0; ; shift += 7 {
		c := next()
		if n += c & 0x7f << shift; c&0x80 == 0 || err != nil {
			return n, err
		}
		if shift > 14 {
			return 0, errHeaders
		}
	}
}

// text reads a text, and tells whether it is packed.
func (b *block) text() (s string, packed bool, err error) {
	if len(*b) == 0 {
		return "", false, errHeaders
	}
	packed = (*b)[0]&0x80 != 0
	n, err := b.int(7)
	if err != nil || n > len(*b) {
		return "", false, errHeaders
	}
	s, *b = string((*b)[:n]), (*b)[n:]
	return s, packed, nil
}

// number is the number that a text says in digits, -1 if it says none.
func number(text string, packed bool) int {
	if packed {
		text = unpackDigits(text)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return -1
	}
	return int(n)
}

// unpackDigits undoes Huffman's code of digits: 0 to 2 are 0 to 2 in five bits, 3 to 9 are 25 to 31 in six; what is left is filled with ones. "" for
// anything else.
func unpackDigits(packed string) string {
	var digits []byte
	bits, have := 0, 0
	for i := 0; i < len(packed) || have > 0; {
		if have < 6 && i < len(packed) {
			bits, have = bits<<8|int(packed[i]), have+8
			i++
		}
		five, six := 0x1f, 0
		if have >= 5 {
			five = bits >> (have - 5) & 0x1f
		}
		if have >= 6 {
			six = bits >> (have - 6) & 0x3f
		}
		switch {
		case five <= 2:
			digits, have = append(digits, '0'+byte(five)), have-5
		case six >= 25 && six <= 31:
			digits, have = append(digits, '3'+byte(six-25)), have-6
		case i == len(packed) && bits&(1<<have-1) == 1<<have-1 && have < 8:
			return string(digits)
		default:
			return ""
		}
		bits &= 1<<have - 1
	}
	return string(digits)
}
