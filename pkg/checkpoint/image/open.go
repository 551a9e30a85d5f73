package image

import (
	"context"
	"crypto/sha256"
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

// whole opens a file so that its end is an error when it is not as it was written.
func (r *Reader) whole(ctx context.Context, f file) (io.Reader, io.Closer, error) {
	in, err := r.Open(f.Path)
	if err != nil {
		return nil, nil, err
	}
	if f.Packed != nil { // it is compared already
		return withContext{ctx, in}, in, nil
	}
	return &checked{r: withContext{ctx, in}, want: f, hash: sha256.New()}, in, nil
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
