package log

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Buffers of a cursor: bytes read from the raw file and from the index at a time.
const (
	rawBuffer   = 32 << 10
	indexBuffer = 128 * entrySize
)

// maxOffset is beyond the end of every segment.
const maxOffset = 1 << 32

// cursor walks through one segment, which may still grow.
type cursor struct {
	n        uint64
	raw, idx *os.File // idx is nil if there is none
	pos      int64    // in raw
	limit    int64    // where to stop, whatever the file's size
	idxPos   int64
	now      entry   // what the bytes at pos belong to
	ahead    []entry // entries read and not reached yet
	buf      []byte
	idxBuf   []byte
}

// piece is a run of bytes under one entry, or an entry that is about no bytes.
type piece struct {
	entry
	data []byte // good until the next step
	at   Place  // where the bytes begin
}

// openCursor opens segment n at its beginning.
func openCursor(dir *os.File, n uint64) (*cursor, error) {
	raw, _, err := openFile(dir, fileName(n, rawSuffix), unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	idx, _, err := openFile(dir, fileName(n, indexSuffix), unix.O_RDONLY)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		raw.Close()
		return nil, err
	}
	return &cursor{
		n: n, raw: raw, idx: idx, limit: maxOffset, now: entry{kind: kindStdout},
		buf: make([]byte, rawBuffer), idxBuf: make([]byte, indexBuffer),
	}, nil
}

func (c *cursor) close() {
	c.raw.Close()
	if c.idx != nil {
		c.idx.Close()
	}
}

// step gives the next piece; ok is false at the end, or what is the end for the moment. The size of the raw file is
// read before the index: an entry is written before its bytes, so every byte below that size finds its entry.
func (c *cursor) step() (p piece, ok bool, err error) {
	info, err := c.raw.Stat()
	if err != nil {
		return piece{}, false, err
	}
	end := min(info.Size(), c.limit)
	for {
		e, found, err := c.peek()
		if err != nil {
			return piece{}, false, err
		}
		if !found || e.offset > c.pos {
			if found {
				end = min(end, e.offset)
			}
			return c.read(end)
		}
		c.take()
		if !e.kind.bytes() {
			return piece{entry: e, at: Place{c.n, e.offset}}, true, nil
		}
		c.now = e
	}
}

// read gives bytes up to end.
func (c *cursor) read(end int64) (piece, bool, error) {
	if end <= c.pos {
		return piece{}, false, nil
	}
	n, err := c.raw.ReadAt(c.buf[:min(end-c.pos, rawBuffer)], c.pos)
	if err != nil && !errors.Is(err, io.EOF) {
		return piece{}, false, err
	}
	at := Place{c.n, c.pos}
	c.pos += int64(n)
	return piece{c.now, c.buf[:n], at}, n > 0, nil
}

// seek goes on at an offset, past what the index says of the bytes before it.
func (c *cursor) seek(offset int64) error {
	c.pos = offset
	for {
		e, ok, err := c.peek()
		if err != nil || !ok || e.offset > offset || e.offset == offset && !e.kind.bytes() {
			return err
		}
		c.take()
		if e.kind.bytes() {
			c.now = e
		}
	}
}

// peek gives the next entry without taking it. Torn and foreign ones are passed over, and those that point backwards take
// effect at once: bytes are never lost or given twice for the sake of the index.
func (c *cursor) peek() (e entry, ok bool, err error) {
	for len(c.ahead) == 0 {
		if ok, err := c.readIndex(); !ok || err != nil {
			return entry{}, false, err
		}
	}
	return c.ahead[0], true, nil
}

// take takes the entry that peek showed.
func (c *cursor) take() { c.ahead = c.ahead[1:] }

// readIndex reads more of the index; false if there is no more.
func (c *cursor) readIndex() (bool, error) {
	if c.idx == nil {
		return false, nil
	}
	n, err := c.idx.ReadAt(c.idxBuf, c.idxPos)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	n -= n % entrySize
	c.idxPos += int64(n)
	c.ahead = c.ahead[:0]
	for b := c.idxBuf[:n]; len(b) > 0; b = b[entrySize:] {
		if e, ok := parseEntry(b[:entrySize]); ok {
			c.ahead = append(c.ahead, e)
		}
	}
	return n > 0, nil
}
