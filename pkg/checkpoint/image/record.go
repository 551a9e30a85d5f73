package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// record is what makes a directory an image: what it is of, and each of its files. It is written last, and is itself under a checksum.
type record struct {
	Schema int        `json:"schema"`
	Image  spec.Image `json:"image"`
	// Files are all files of the image but the record, by path.
	Files []file `json:"files"`
	// Links are the links named "parent" that criu made to memory it wrote before, by path.
	Links map[string]string `json:"links,omitempty"`
	Pages Pages             `json:"pages"`
	CPU   CPU               `json:"cpu"`
}

// file is one of an image's files.
type file struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Packed is what is on disk instead, under Path and packedSuffix.
	Packed *packed `json:"packed,omitempty"`
}

// packed is a file on disk that holds another one in less room.
type packed struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Pages is the memory in an image, in pages of 4096 bytes.
type Pages struct {
	// Stored are in files of the image.
	Stored uint64 `json:"stored"`
	// Zero and Parent are those that are named and not stored: empty ones, and ones that an image taken before has.
	Zero   uint64 `json:"zero,omitempty"`
	Parent uint64 `json:"parent,omitempty"`
	// Lazy are those of the stored that may come after the start.
	Lazy uint64 `json:"lazy,omitempty"`
}

// CPU is the processor an image was taken on.
type CPU struct {
	Vendor   string   `json:"vendor,omitempty"`
	Model    string   `json:"model,omitempty"`
	Features []string `json:"features,omitempty"` // sorted
}

const (
	recordSchema = 1
	// maxRecord bounds a record: 65536 files of 200 bytes.
	maxRecord = 16 << 20
	// maxFile bounds one file, and all together: larger than any machine, small enough to add up.
	maxFile = 1 << 50
)

// sealed is a record on disk: what it says and the hash of that, byte by byte.
type sealed struct {
	SHA256 string          `json:"sha256"`
	Record json.RawMessage `json:"record"`
}

// encode seals a record.
func (r *record) encode() ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	text, err := seal(body)
	if err == nil && len(text) > maxRecord {
		err = fmt.Errorf("the record has %d bytes, more than %d: %w", len(text), maxRecord, fs.ErrInvalid)
	}
	return text, err
}

func seal(body []byte) ([]byte, error) {
	sum := sha256.Sum256(body)
	text, err := json.Marshal(sealed{hex.EncodeToString(sum[:]), body})
	return append(text, '\n'), err
}

// decode takes a record that was sealed, and that makes sense. Anything else is fs.ErrInvalid.
func decode(text []byte) (*record, error) {
	var s sealed
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("the record cannot be read: %v: %w", err, fs.ErrInvalid)
	}
	// The whole text is under the hash: what is not exactly as it was written has been changed.
	if again, err := seal(s.Record); err != nil || !bytes.Equal(again, text) {
		return nil, fmt.Errorf("the record was changed: %w", fs.ErrInvalid)
	}
	var r record
	if err := json.Unmarshal(s.Record, &r); err != nil {
		return nil, fmt.Errorf("the record cannot be read: %v: %w", err, fs.ErrInvalid)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return &r, nil
}

// check refuses a record that makes no sense, whoever wrote it.
func (r *record) check() error {
	if r.Schema != recordSchema {
		return fmt.Errorf("the record is of version %d, not of %d: %w", r.Schema, recordSchema, fs.ErrInvalid)
	}
	if _, _, err := splitRef(r.Image.Ref()); err != nil {
		return err
	}
	if r.Image.Set != "" && !setName.MatchString(r.Image.Set) {
		return fmt.Errorf("%q is not the name of a set: %w", r.Image.Set, fs.ErrInvalid)
	}
	if err := r.checkTexts(); err != nil {
		return err
	}
	if r.Image.Frozen < 0 || r.Image.Took < 0 {
		return fmt.Errorf("the record has a time below zero: %w", fs.ErrInvalid)
	}
	if p := r.Pages; p.Stored > maxFile/pageSize || p.Parent > maxFile/pageSize || p.Zero > maxFile/pageSize || p.Lazy > p.Stored {
		return fmt.Errorf("the record has %d pages: %w", p.Stored, fs.ErrInvalid)
	}
	return r.checkFiles()
}

// maxText bounds a text that people see.
const maxText = 4096

// checkTexts refuses texts that a terminal would not only show.
func (r *record) checkTexts() error {
	i := r.Image
	for _, text := range slices.Concat([]string{i.Cause, i.Hash, i.Kernel, i.Arch, i.CRIU, string(i.Compression), i.Problem, r.CPU.Vendor, r.CPU.Model}, r.CPU.Features) {
		if len(text) > maxText || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("the record has the text %.64q: %w", text, fs.ErrInvalid)
		}
	}
	for name, hash := range i.Configs {
		if spec.ValidName(name) != nil || !sumText.MatchString(hash) {
			return fmt.Errorf("the record has the config %.64q: %w", name, fs.ErrInvalid)
		}
	}
	return nil
}

var sumText = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (r *record) checkFiles() error {
	if len(r.Files) > maxEntries {
		return fmt.Errorf("the record has %d files: %w", len(r.Files), fs.ErrInvalid)
	}
	var sum int64
	for i, f := range r.Files {
		if err := checkPath(f.Path); err != nil {
			return err
		}
		onDisk := f.stored()
		switch {
		case i > 0 && r.Files[i-1].Path >= f.Path:
			return fmt.Errorf("the record has its files out of order at %s: %w", f.Path, fs.ErrInvalid)
		case f.Path == recordName || strings.HasPrefix(f.Path, recordName+"/"):
			return fmt.Errorf("the record names itself: %w", fs.ErrInvalid)
		case f.Size < 0 || f.Size > maxFile || onDisk.Size < 0 || onDisk.Size > maxFile:
			return fmt.Errorf("the record gives %s %d bytes: %w", f.Path, f.Size, fs.ErrInvalid)
		case !sumText.MatchString(f.SHA256) || !sumText.MatchString(onDisk.SHA256):
			return fmt.Errorf("the record gives %s no hash: %w", f.Path, fs.ErrInvalid)
		}
		if sum += f.Size; sum > maxFile {
			return fmt.Errorf("the record's files are too large together: %w", fs.ErrInvalid)
		}
	}
	for path, target := range r.Links {
		if !isParentLink(path, target) {
			return fmt.Errorf("the record has the link %.64q to %.64q: %w", path, target, fs.ErrInvalid)
		}
	}
	return nil
}

var (
	linkPath   = regexp.MustCompile(`^(checkpoint|pre-[0-9]{1,2})/parent$`)
	linkTarget = regexp.MustCompile(`^[.][.]/pre-[0-9]{1,2}$`)
)

// isParentLink tells whether a link is one that criu makes: to a directory beside it, of memory that was written before.
func isParentLink(path, target string) bool {
	return linkPath.MatchString(path) && linkTarget.MatchString(target)
}

// stored is what is on disk of a file.
func (f file) stored() file {
	if f.Packed == nil {
		return f
	}
	return file{Path: f.Path + packedSuffix, Size: f.Packed.Size, SHA256: f.Packed.SHA256}
}

// onDisk is what the image's files take.
func (r *record) onDisk() (sum spec.Bytes) {
	for _, f := range r.Files {
		sum += spec.Bytes(f.stored().Size)
	}
	return sum
}

// find is the file with a path.
func (r *record) find(path string) (file, bool) {
	i, ok := slices.BinarySearchFunc(r.Files, path, func(f file, p string) int { return strings.Compare(f.Path, p) })
	if !ok {
		return file{}, false
	}
	return r.Files[i], true
}
