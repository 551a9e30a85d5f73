// Package log keeps the output of containers: raw bytes moved by the kernel from pipe to file, and beside them an
// index that says which stream, run and time every byte belongs to. It knows pipes, files and lines; it refuses
// to know containers, and never makes one wait for a full or broken disk.
//
// A log is a directory of segments, NNNNNNNN.log with the bytes and NNNNNNNN.idx with entries of 32 bytes. An entry
// is written before the bytes it speaks of, and its bytes end where the next entry's begin, or with the file.
// So a writer killed at any moment leaves at most an entry without bytes, and its successor goes on at the file's end.
//
//	pipe ──Writer.Drain──> 00000001.log 00000001.idx 00000002.log ... ──Read──> Line, Line, ...
//
// One Writer, the keeper, appends; any number of readers, in any process, follow it.
package log

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// Stream is where a byte came from.
type Stream uint8

// The streams; zero, in Options, means both.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// String is the stream's name as `logs` prints it: stdout or stderr.
func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// Run is one start of a process: the instance, and the how-manieth start in it. Several runs share a log.
type Run struct {
	Instance uint64 // counted from 1, as spec.Instance.ID
	Start    uint32 // counted from 1, as spec.Instance.Starts
}

// kind says what an entry is about. Stdout and Stderr are the kinds of bytes.
type kind uint8

const (
	kindStdout  = kind(Stdout)
	kindStderr  = kind(Stderr)
	kindBegin   = kind(3) // the run begins
	kindEnd     = kind(4) // the run has ended: its unfinished lines stay so
	kindDropped = kind(5) // count bytes of the run are missing here
)

// bytes tells whether the entry is about bytes in the segment.
func (k kind) bytes() bool { return k == kindStdout || k == kindStderr }

// entrySize is the size of an entry in the index:
//
//	0 kind, 1 check (3 bytes), 4 start (4), 8 instance (8), 16 offset (4), 20 count (4), 24 unix time in ns (8); little-endian
const entrySize = 32

// entry is one row of the index.
type entry struct {
	kind   kind
	run    Run
	offset int64 // in the raw file, where what it speaks of begins
	count  uint32
	time   time.Time
}

// append adds the entry's bytes to b.
func (e entry) append(b []byte) []byte {
	le := binary.LittleEndian
	at := len(b)
	b = append(b, byte(e.kind), 0, 0, 0)
	b = le.AppendUint32(b, e.run.Start)
	b = le.AppendUint64(b, e.run.Instance)
	b = le.AppendUint32(b, uint32(e.offset))
	b = le.AppendUint32(b, e.count)
	b = le.AppendUint64(b, uint64(e.time.UnixNano()))
	sum := check(b[at:])
	copy(b[at+1:at+4], sum[:])
	return b
}

// parseEntry reads an entry; !ok when it is torn, garbage or of a kind that a later version invented.
func parseEntry(b []byte) (e entry, ok bool) {
	le := binary.LittleEndian
	if len(b) != entrySize || [3]byte(b[1:4]) != check(b) || b[0] < 1 || b[0] > byte(kindDropped) {
		return entry{}, false
	}
	return entry{
		kind:   kind(b[0]),
		run:    Run{Start: le.Uint32(b[4:]), Instance: le.Uint64(b[8:])},
		offset: int64(le.Uint32(b[16:])),
		count:  le.Uint32(b[20:]),
		time:   time.Unix(0, int64(le.Uint64(b[24:]))),
	}, true
}

// check is a checksum of an entry but for the checksum's own place. The kind is part of it, so an entry of zeros has none that fits.
func check(b []byte) (sum [3]byte) {
	c := crc32.Update(crc32.ChecksumIEEE(b[:1]), crc32.IEEETable, b[4:entrySize])
	sum[0], sum[1], sum[2] = byte(c), byte(c>>8), byte(c>>16)
	return sum
}
