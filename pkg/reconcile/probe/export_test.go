package probe

import "io"

// For tests in package probe_test.

// HealthCall is what the client says, AppendFrame and AppendHeader what peers are made of.
var (
	HealthCall   = healthCall
	AppendFrame  = appendFrame
	AppendHeader = appendHeader
	UnpackDigits = unpackDigits
)

// MaxRead bounds what is read of a peer of gRPC.
const MaxRead = maxRead

// Hear is what is understood of all that a peer says.
func Hear(said io.Reader, answers io.Writer) (status uint64, err error) {
	return (&call{conn: answers, frames: frames{from: said}}).run()
}

// ReadHeaders are the two headers of a block that are read.
func ReadHeaders(b []byte) (status, grpcStatus int, err error) {
	h, err := readHeaders(b)
	return h.status, h.grpcStatus, err
}

// Waiting is how many turns are kept, for whatever reason.
func (p *Prober) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.table) + len(p.waiting) + len(p.late) + len(p.asking)
}
