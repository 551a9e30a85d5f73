package tree

import (
	"errors"
	"io"
	"strconv"
	"strings"
)

// reader reads an archive entry by entry. What it gives is well formed, and no more: names are the matter of who uses them.
type reader struct {
	in    io.Reader
	left  int64 // of the data of the entry that was read last
	after int64 // its padding
	block [blockSize]byte
	ended bool
}

// next reads the entry that follows, past what is left of the one before it; io.EOF after the last one.
func (r *reader) next() (*entry, error) {
	if r.ended {
		return nil, io.EOF
	}
	if _, err := io.CopyN(io.Discard, r.in, r.left+r.after); err != nil {
		return nil, truncated(err)
	}
	r.left, r.after = 0, 0
	e, err := r.header()
	if err != nil {
		return nil, err
	}
	var said records
	if e.kind == kindRecords {
		if said, err = r.records(e.stored); err != nil {
			return nil, err
		}
		if e, err = r.header(); errors.Is(err, io.EOF) {
			return nil, truncated(err)
		} else if err != nil {
			return nil, err
		}
	}
	if err := said.describe(e); err != nil {
		return nil, err
	}
	return e, r.begin(e)
}

// Read reads the data of the entry that was read last.
func (r *reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.in.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if errors.Is(err, io.EOF) && r.left > 0 {
		err = truncated(err)
	}
	return n, err
}

// header reads a header block; io.EOF for the two blocks of zeros that end an archive.
func (r *reader) header() (*entry, error) {
	if _, err := io.ReadFull(r.in, r.block[:]); err != nil {
		return nil, truncated(err)
	}
	if r.block == zeros {
		if _, err := io.ReadFull(r.in, r.block[:]); err != nil {
			return nil, truncated(err)
		}
		if r.block != zeros {
			return nil, malformed("one block of zeros")
		}
		r.ended = true
		return nil, io.EOF
	}
	block := r.block[:]
	if sum, err := fieldChecksum.number(block); err != nil || sum != checksum(&r.block) {
		return nil, malformed("wrong checksum of a header")
	}
	if string(fieldMagic.in(block)) != magic {
		return nil, malformed("no POSIX tar")
	}
	e := &entry{name: fieldName.text(block), link: fieldLink.text(block), kind: block[fieldKind.at]}
	if prefix := fieldPrefix.text(block); prefix != "" {
		e.name = prefix + "/" + e.name
	}
	return e, e.numbers(block)
}

// numbers reads the numbers of a header.
func (e *entry) numbers(block []byte) error {
	for _, n := range []struct {
		field field
		set   func(uint64)
		max   uint64
	}{
		{fieldMode, func(n uint64) { e.mode = uint32(n) }, 0o7777},
		{fieldUID, func(n uint64) { e.uid = uint32(n) }, 1<<32 - 1},
		{fieldGID, func(n uint64) { e.gid = uint32(n) }, 1<<32 - 1},
		{fieldSize, func(n uint64) { e.stored = int64(n) }, 1<<63 - 1},
		{fieldModified, func(n uint64) { e.modified.sec = int64(n) }, 1<<63 - 1},
		{fieldMajor, func(n uint64) { e.major = uint32(n) }, 1<<32 - 1},
		{fieldMinor, func(n uint64) { e.minor = uint32(n) }, 1<<32 - 1},
	} {
		value, err := n.field.number(block)
		if err != nil {
			return err
		}
		if value > n.max {
			return malformed("number %o in a header", value)
		}
		n.set(value)
	}
	return nil
}

// begin prepares the reading of an entry's data, with the map of its holes before it.
func (r *reader) begin(e *entry) error {
	if e.kind != kindFile {
		if e.stored != 0 {
			return malformed("data of what is no file: %q", e.name)
		}
		return nil
	}
	r.left, r.after = e.stored, padding(e.stored)
	if !e.sparse {
		e.size = e.stored
		return nil
	}
	before := r.left
	if err := e.readSegments(r); err != nil {
		return err
	}
	e.stored -= before - r.left
	return nil
}

// records are what the header of records says of the entry that follows.
type records struct {
	name, link, sparse string
	uid, gid           string
	size, realSize     string
	modified           string
	major, minor       string
	xattrs             []xattr
}

// records reads the data of a header of records.
func (r *reader) records(size int64) (said records, err error) {
	if size > maxRecords {
		return said, malformed("%d bytes of records", size)
	}
	text := make([]byte, size+padding(size))
	if _, err := io.ReadFull(r.in, text); err != nil {
		return said, truncated(err)
	}
	known := map[string]*string{
		recordName: &said.name, recordLink: &said.link, recordUID: &said.uid, recordGID: &said.gid, recordSize: &said.size,
		recordModified: &said.modified, recordSparseMajor: &said.major, recordSparseMinor: &said.minor,
		recordSparseName: &said.sparse, recordSparseSize: &said.realSize,
	}
	for rest := string(text[:size]); rest != ""; {
		key, value, after, err := cutRecord(rest)
		if err != nil {
			return said, err
		}
		rest = after
		if name, ok := strings.CutPrefix(key, recordXattr); ok {
			said.xattrs = append(said.xattrs, xattr{xattrName.Replace(name), value})
		} else if place := known[key]; place != nil {
			if *place != "" {
				return said, malformed("two records %s", key)
			}
			*place = value
		} else if strings.HasPrefix(key, "GNU.") {
			return said, malformed("record %s", key) // an older way to have holes
		}
	}
	return said, nil
}

// cutRecord takes `LENGTH KEY=VALUE\n` from the beginning of a text.
func cutRecord(text string) (key, value, rest string, err error) {
	digits, _, found := strings.Cut(text, " ")
	length, err := strconv.ParseUint(digits, 10, 31)
	if !found || err != nil || int(length) <= len(digits)+1 || int(length) > len(text) || text[length-1] != '\n' {
		return "", "", "", malformed("length of a record")
	}
	key, value, found = strings.Cut(text[len(digits)+1:length-1], "=")
	if !found || key == "" {
		return "", "", "", malformed("record without a key")
	}
	return key, value, text[length:], nil
}

// describe says of an entry what the records say.
func (s records) describe(e *entry) error {
	e.xattrs = s.xattrs
	if s.name != "" {
		e.name = s.name
	}
	if s.link != "" {
		e.link = s.link
	}
	for _, n := range []struct {
		text string
		bits int
		set  func(uint64)
	}{
		{s.uid, 32, func(n uint64) { e.uid = uint32(n) }},
		{s.gid, 32, func(n uint64) { e.gid = uint32(n) }},
		{s.size, 63, func(n uint64) { e.stored = int64(n) }},
		{s.realSize, 63, func(n uint64) { e.size = int64(n) }},
	} {
		if n.text == "" {
			continue
		}
		value, err := strconv.ParseUint(n.text, 10, n.bits)
		if err != nil {
			return malformed("number %q in a record", n.text)
		}
		n.set(value)
	}
	if s.major != "" || s.minor != "" || s.sparse != "" || s.realSize != "" {
		if s.major != "1" || s.minor != "0" || s.sparse == "" || s.realSize == "" || e.kind != kindFile {
			return malformed("holes that are not described as GNU.sparse 1.0")
		}
		e.name, e.sparse = s.sparse, true
	}
	if s.modified == "" {
		return nil
	}
	var err error
	e.modified, err = parseTimestamp(s.modified)
	return err
}

// parseTimestamp is the opposite of timestamp.String; what is finer than a nanosecond is cut off.
func parseTimestamp(text string) (t timestamp, err error) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	sec, err := strconv.ParseUint(whole, 10, 62)
	if err != nil {
		return t, malformed("time %q", text)
	}
	nsec, err := strconv.ParseUint((fraction + "000000000")[:9], 10, 32)
	if err != nil || strings.Trim(fraction, "0123456789") != "" {
		return t, malformed("time %q", text)
	}
	t = timestamp{int64(sec), int64(nsec)}
	if negative {
		if t.sec = -t.sec; nsec > 0 {
			t = timestamp{t.sec - 1, 1e9 - t.nsec}
		}
	}
	return t, nil
}

// truncated is the error of an archive that ends too early.
func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return malformed("%w", io.ErrUnexpectedEOF)
	}
	return err
}
