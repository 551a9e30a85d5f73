package tree

import (
	"bytes"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode/utf8"
)

// blockSize is the unit of a tar.
const blockSize = 512

// maxRecords bounds what the records of one entry may take, its extended attributes with them.
const maxRecords = 4 << 20

// field is a place in the header block of an entry.
type field struct{ at, size int }

// The header block, see pax(1).
var (
	fieldName     = field{0, 100}
	fieldMode     = field{100, 8}
	fieldUID      = field{108, 8}
	fieldGID      = field{116, 8}
	fieldSize     = field{124, 12}
	fieldModified = field{136, 12}
	fieldChecksum = field{148, 8}
	fieldKind     = field{156, 1}
	fieldLink     = field{157, 100}
	fieldMagic    = field{257, 8}
	fieldMajor    = field{329, 8}
	fieldMinor    = field{337, 8}
	fieldPrefix   = field{345, 155}
)

// magic is the magic and version of a POSIX tar.
const magic = "ustar\x0000"

// The keys of records.
const (
	recordName     = "path"
	recordLink     = "linkpath"
	recordSize     = "size"
	recordUID      = "uid"
	recordGID      = "gid"
	recordModified = "mtime"
	recordCharset  = "hdrcharset"

	recordXattr       = "SCHILY.xattr."
	recordSparseMajor = "GNU.sparse.major"
	recordSparseMinor = "GNU.sparse.minor"
	recordSparseName  = "GNU.sparse.name"
	recordSparseSize  = "GNU.sparse.realsize"
)

// charsetBinary tells that names are bytes.
const charsetBinary = "BINARY"

// in is the field's part of a header.
func (f field) in(block []byte) []byte { return block[f.at : f.at+f.size] }

// put writes a number in octal, and tells whether it fits; one that does not is left 0.
func (f field) put(block []byte, n uint64) bool {
	fits := n < 1<<(3*(f.size-1))
	if !fits {
		n = 0
	}
	place := f.in(block)
	for i := f.size - 2; i >= 0; i-- {
		place[i] = byte('0' + n&7)
		n >>= 3
	}
	return fits
}

// putText writes text that needs no end, and tells whether it fits and is ASCII.
func (f field) putText(block []byte, text string) bool {
	n := copy(f.in(block), text)
	return n == len(text) && isASCII(text)
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendHeader appends the header of an entry, in front of it a header with records of what a plain one cannot say.
// Stored is how many bytes follow it in the archive, a map of holes among them.
func appendHeader(to []byte, e *entry, stored int64) ([]byte, error) {
	var block [blockSize]byte
	records := e.fill(&block, stored)
	if len(records) > maxRecords {
		return to, fmt.Errorf("more than %d bytes of names and extended attributes: %w", maxRecords, fs.ErrInvalid)
	}
	if len(records) > 0 {
		var before [blockSize]byte
		fieldName.putText(before[:], "PaxHeaders.0/file")
		for _, f := range []field{fieldMode, fieldUID, fieldGID, fieldModified} {
			f.put(before[:], 0)
		}
		fieldSize.put(before[:], uint64(len(records)))
		to = appendBlock(to, &before, kindRecords)
		to = appendPadding(append(to, records...), len(records))
	}
	return appendBlock(to, &block, e.kind), nil
}

// fill writes into a header block what fits, and gives the records of what does not.
func (e *entry) fill(block *[blockSize]byte, stored int64) []byte {
	records := make([]byte, 0, 256)
	name := e.name
	if e.kind == kindDirectory {
		name += "/"
	}
	binary := !utf8.ValidString(name) || !utf8.ValidString(e.link)
	if binary {
		records = appendRecord(records, recordCharset, charsetBinary)
	}
	if e.sparse {
		fieldName.putText(block[:], "GNUSparseFile.0/file")
		records = appendRecord(records, recordSparseMajor, "1")
		records = appendRecord(records, recordSparseMinor, "0")
		records = appendRecord(records, recordSparseName, name)
		records = appendRecord(records, recordSparseSize, strconv.FormatInt(e.size, 10))
	} else if !fieldName.putText(block[:], name) {
		records = appendRecord(records, recordName, name)
	}
	if !fieldLink.putText(block[:], e.link) {
		records = appendRecord(records, recordLink, e.link)
	}
	if !fieldUID.put(block[:], uint64(e.uid)) {
		records = appendRecord(records, recordUID, strconv.FormatUint(uint64(e.uid), 10))
	}
	if !fieldGID.put(block[:], uint64(e.gid)) {
		records = appendRecord(records, recordGID, strconv.FormatUint(uint64(e.gid), 10))
	}
	if !fieldSize.put(block[:], uint64(stored)) {
		records = appendRecord(records, recordSize, strconv.FormatInt(stored, 10))
	}
	if !fieldModified.put(block[:], uint64(e.modified.sec)) || e.modified.nsec != 0 {
		records = appendRecord(records, recordModified, e.modified.String())
	}
	for _, x := range e.xattrs {
		records = appendRecord(records, recordXattr+xattrKey.Replace(x.name), x.value)
	}
	fieldMode.put(block[:], uint64(e.mode))
	fieldMajor.put(block[:], uint64(e.major))
	fieldMinor.put(block[:], uint64(e.minor))
	return records
}

// appendBlock appends a header block once it has its kind, magic and checksum.
func appendBlock(to []byte, block *[blockSize]byte, kind byte) []byte {
	block[fieldKind.at] = kind
	copy(fieldMagic.in(block[:]), magic)
	sum := field{fieldChecksum.at, fieldChecksum.size - 1}
	sum.put(block[:], checksum(block))
	block[fieldChecksum.at+fieldChecksum.size-1] = ' '
	return append(to, block[:]...)
}

// checksum adds all bytes of a header, its checksum as blanks.
func checksum(block *[blockSize]byte) (sum uint64) {
	for _, b := range block {
		sum += uint64(b)
	}
	for _, b := range fieldChecksum.in(block[:]) {
		sum -= uint64(b)
	}
	return sum + ' '*uint64(fieldChecksum.size)
}

// padding is what follows size bytes of data up to the next block.
func padding(size int64) int64 { return -size & (blockSize - 1) }

// zeros are a block of them, and the buffer of padding.
var zeros [blockSize]byte

func appendPadding(to []byte, size int) []byte { return append(to, zeros[:padding(int64(size))]...) }

// appendRecord appends `LENGTH KEY=VALUE\n`; the length counts itself.
func appendRecord(to []byte, key, value string) []byte {
	rest := len(key) + len(value) + len(" =\n")
	length := rest
	for length != rest+digits(length) {
		length = rest + digits(length)
	}
	to = strconv.AppendInt(to, int64(length), 10)
	to = append(append(append(to, ' '), key...), '=')
	return append(append(to, value...), '\n')
}

func digits(n int) (count int) {
	for count = 1; n > 9; count++ {
		n /= 10
	}
	return count
}

// xattrKey and xattrName write the name of an attribute into a key, which ends at its first "=", as GNU tar does.
var (
	xattrKey  = strings.NewReplacer("%", "%25", "=", "%3D")
	xattrName = strings.NewReplacer("%25", "%", "%3D", "=")
)

// String is the time as a record has it: decimal seconds. Before 1970 its fraction counts backward.
func (t timestamp) String() string {
	sec, nsec, sign := t.sec, t.nsec, ""
	if sec < 0 {
		sign, sec = "-", -sec
		if nsec > 0 {
			sec, nsec = sec-1, 1e9-nsec
		}
	}
	text := sign + strconv.FormatInt(sec, 10)
	if nsec == 0 {
		return text
	}
	return strings.TrimRight(fmt.Sprintf("%s.%09d", text, nsec), "0")
}

// number reads a number of a header: octal, between blanks or zero bytes, or nothing for 0.
func (f field) number(block []byte) (uint64, error) {
	text := string(bytes.Trim(f.in(block), " \x00"))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 8, 63)
	if err != nil {
		return 0, malformed("number %q in a header", text)
	}
	return n, nil
}

// text reads a text of a header: all of it, or up to a zero byte.
func (f field) text(block []byte) string {
	text, _, _ := bytes.Cut(f.in(block), []byte{0})
	return string(text)
}

// malformed is an error of what is no archive of ours.
func malformed(format string, args ...any) error {
	return fmt.Errorf("malformed archive: "+format+": %w", append(args, fs.ErrInvalid)...)
}
