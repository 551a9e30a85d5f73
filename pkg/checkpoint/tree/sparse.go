package tree

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxSegments bounds the parts of a file between its holes: a map of them has to be in memory.
const maxSegments = 1 << 20

// findSegments asks an open file where it has data: see lseek(2), SEEK_DATA. ENXIO is that no data follows.
func findSegments(fd int, size int64) (found []segment, err error) {
	for at := int64(0); at < size; {
		begin, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if err == unix.ENXIO || err == nil && begin >= size {
			break
		}
		if err != nil {
			return nil, err
		}
		end, err := unix.Seek(fd, begin, unix.SEEK_HOLE)
		if err == unix.ENXIO { // it became shorter
			break
		}
		if err != nil {
			return nil, err
		}
		at = min(max(end, begin+1), size)
		if len(found) == maxSegments {
			return nil, fmt.Errorf("more than %d holes: %w", maxSegments, fs.ErrInvalid)
		}
		found = append(found, segment{begin, at - begin})
	}
	return found, nil
}

// appendSegments appends the map of a file's holes as GNU.sparse 1.0 has it before the data: decimal lines, how many, then the begin and the
// size of each segment, padded to a block. A last segment of no bytes tells the end, for a reader that looks at nothing else.
func appendSegments(to []byte, e *entry) []byte {
	before := len(to)
	all := e.segments
	if len(all) == 0 || all[len(all)-1].at+all[len(all)-1].size < e.size {
		all = append(all[:len(all):len(all)], segment{e.size, 0})
	}
	to = append(strconv.AppendInt(to, int64(len(all)), 10), '\n')
	for _, s := range all {
		to = append(strconv.AppendInt(to, s.at, 10), '\n')
		to = append(strconv.AppendInt(to, s.size, 10), '\n')
	}
	return appendPadding(to, len(to)-before)
}

// readSegments reads the map that begins an entry's data, and checks it: segments follow one another within the file and are all that is stored.
func (e *entry) readSegments(r *reader) error {
	m := mapReader{in: r}
	count, err := m.number()
	if err != nil {
		return err
	}
	if count > maxSegments+1 {
		return malformed("%d segments of %q", count, e.name)
	}
	var end, sum int64
	for range count {
		at, err := m.number()
		if err != nil {
			return err
		}
		size, err := m.number()
		if err != nil {
			return err
		}
		if at < end || size > e.size || at > e.size-size {
			return malformed("segment %d+%d of %q", at, size, e.name)
		}
		end, sum = at+size, sum+size
		if size > 0 {
			e.segments = append(e.segments, segment{at, size})
		}
	}
	if sum != r.left {
		return malformed("%d bytes of %q, %d in segments", r.left, e.name, sum)
	}
	return nil
}

// mapReader reads lines of decimal numbers, a block at a time.
type mapReader struct {
	in    io.Reader
	block [blockSize]byte
	rest  []byte
}

func (m *mapReader) number() (int64, error) {
	var line []byte
	for {
		if len(m.rest) == 0 {
			if _, err := io.ReadFull(m.in, m.block[:]); err != nil {
				return 0, truncated(err)
			}
			m.rest = m.block[:]
		}
		head, rest, found := bytes.Cut(m.rest, []byte{'\n'})
		line = append(line, head...)
		m.rest = rest
		if len(line) > 20 {
			return 0, malformed("number in a map of holes")
		}
		if found {
			n, err := strconv.ParseUint(string(line), 10, 63)
			if err != nil {
				return 0, malformed("number %q in a map of holes", line)
			}
			return int64(n), nil
		}
	}
}
