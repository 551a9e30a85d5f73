package signature

import (
	"encoding/binary"
	"errors"
	"math/big"
)

var (
	errShort    = errors.New("it is cut off")
	errTrailing = errors.New("something follows its end")
	errNumber   = errors.New("a number in it is not in its shortest form, or negative")
)

// reader takes apart what RFC 4251, section 5, puts together. Its first error stays.
type reader struct {
	rest []byte
	err  error
}

// take is the next n bytes.
func (r *reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.rest)) {
		r.err = errors.Join(r.err, errShort)
		r.rest = nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) uint32() uint32 {
	b := r.take(4)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// text is a string: its length, and that many bytes.
func (r *reader) text() []byte { return r.take(uint64(r.uint32())) }

// number is an mpint that is not negative.
func (r *reader) number() *big.Int {
	b := r.text()
	if len(b) > 0 && b[0]&0x80 != 0 || len(b) > 1 && b[0] == 0 && b[1]&0x80 == 0 || len(b) == 1 && b[0] == 0 {
		r.err = errors.Join(r.err, errNumber)
	}
	return new(big.Int).SetBytes(b)
}

// end is the first error, or that something is left.
func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		r.err = errTrailing
	}
	return r.err
}

// appendText appends a string.
func appendText(b []byte, text []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(text))), text...)
}
