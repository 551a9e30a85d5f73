package image

import (
	"fmt"
	"io"
	"io/fs"
)

// Open opens a file of the image as it was before it was packed, by the name that its record has. One that is not there is fs.ErrNotExist. What is packed is compared
// with its record while it is read: the end of a wrong one is fs.ErrInvalid.
func (r *Reader) Open(name string) (io.ReadCloser, error) {
	f, ok := r.record.find(name)
	if !ok {
		return nil, fmt.Errorf("the image %s has no %s: %w", r.Ref(), name, fs.ErrNotExist)
	}
	file, _, err := r.dir.regular(f.stored().Path)
	if err != nil {
		return nil, err
	}
	if f.Packed == nil {
		return file, nil
	}
	return unpack(file, f)
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
