package process

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Message is a struct msghdr for sendmsg(2) with some bytes, which must not be none for a stream, and the descriptors in
// some slots, as unix(7) passes them (SCM_RIGHTS).
func Message(text []byte, descriptors ...Slot) Arg {
	const (
		header = 56 // struct msghdr, of which the next two are parts that it points to
		vector = 16 // struct iovec
		rights = 16 // struct cmsghdr
	)
	control := 0
	if len(descriptors) > 0 {
		control = unix.CmsgSpace(slotRefSize * len(descriptors))
	}
	b := make([]byte, header+vector+control, header+vector+control+len(text))
	put := func(at, n int) { binary.NativeEndian.PutUint64(b[at:], uint64(n)) }
	refs := []Ref{{At: 16, To: header}, {At: header, To: len(b)}} // msg_iov, iov_base
	put(24, 1)                                                    // msg_iovlen
	put(header+8, len(text))                                      // iov_len
	if control > 0 {
		begin := header + vector
		refs = append(refs, Ref{At: 32, To: begin}) // msg_control
		put(40, control)                            // msg_controllen
		put(begin, unix.CmsgLen(slotRefSize*len(descriptors)))
		binary.NativeEndian.PutUint32(b[begin+8:], unix.SOL_SOCKET)
		binary.NativeEndian.PutUint32(b[begin+12:], unix.SCM_RIGHTS)
		for i, s := range descriptors {
			refs = append(refs, Ref{At: begin + rights + slotRefSize*i, Slot: s})
		}
	}
	return Data(append(b, text...), refs...)
}
