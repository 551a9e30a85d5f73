package image

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"time"
)

// OpenTripped opens a Store that asks trip before each change of the disk.
func OpenTripped(dir string, trip func(step string) error) (*Store, error) {
	return openStore(dir, trip)
}

// SetClock gives a Store another clock.
func (s *Store) SetClock(now func() time.Time) { s.now = now }

// Decode says of which image a record is.
func Decode(text []byte) (ref string, err error) {
	r, err := decode(text)
	if err != nil {
		return "", err
	}
	return r.Image.Ref(), nil
}

// Seal makes a record of what it says.
func Seal(body []byte) ([]byte, error) { return seal(body) }

// Scan reads criu's images out of memory.
func Scan(images map[string][]byte) (*Facts, error) { return scan(memory(images)) }

type memory map[string][]byte

func (m memory) list() (names []string) {
	for name := range m {
		names = append(names, inImages(name))
	}
	return names
}

func (m memory) size(name string) (int64, error) {
	text, ok := m[path.Base(name)]
	if !ok {
		return 0, fs.ErrNotExist
	}
	return int64(len(text)), nil
}

func (m memory) open(name string) (io.ReadCloser, error) {
	text, ok := m[path.Base(name)]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(text)), nil
}

func (m memory) link(string) string { return "" }
