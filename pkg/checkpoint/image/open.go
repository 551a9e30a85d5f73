package image

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// Open opens a file of the image for reading, by the name that its record has. One that is not there is fs.ErrNotExist.
func (r *Reader) Open(name string) (*os.File, error) {
	if !slices.Contains(r.Files(), name) {
		return nil, fmt.Errorf("the image %s has no %s: %w", r.Ref(), name, fs.ErrNotExist)
	}
	f, _, err := r.dir.regular(name)
	return f, err
}

// maxSmall bounds what ReadFile reads.
const maxSmall = 16 << 20

// ReadFile reads a small file of the image.
func (r *Reader) ReadFile(name string) ([]byte, error) {
	f, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if err == nil && len(text) > maxSmall {
		err = fmt.Errorf("%s of the image %s has more than %d bytes: %w", name, r.Ref(), maxSmall, fs.ErrInvalid)
	}
	return text, err
}
