package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// Facts reads criu's images and tells what they would make. It reads no memory. Images that contradict themselves are fs.ErrInvalid.
func (r *Reader) Facts(ctx context.Context) (*Facts, error) {
	f, err := scan(recorded{ctx, r})
	if err == nil && f.Pages != r.record.Pages {
		err = fmt.Errorf("its memory is not what its record says: %w", fs.ErrInvalid)
	}
	if errors.Is(err, fs.ErrInvalid) {
		r.s.spoil(r.Ref(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("the image %s cannot be used: %w", r.Ref(), err)
	}
	return f, nil
}

// Check is what is to be asked after Verify, and before criu sees the image: whether it would make nothing but what p allows.
func (r *Reader) Check(ctx context.Context, p Policy) error {
	f, err := r.Facts(ctx)
	if err != nil {
		return err
	}
	if err := f.Check(p); err != nil {
		return fmt.Errorf("the image %s is refused: %w", r.Ref(), err)
	}
	return nil
}

// recorded is an image that is committed, as a source.
type recorded struct {
	ctx context.Context
	*Reader
}

func (r recorded) list() []string { return r.Files() }

func (r recorded) size(name string) (int64, error) {
	f, ok := r.record.find(name)
	if !ok {
		return 0, fs.ErrNotExist
	}
	return f.Size, nil
}

func (r recorded) open(name string) (io.ReadCloser, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	return r.Open(name)
}

func (r recorded) link(name string) string { return r.record.Links[name] }

// unrecorded is an image that is being written, as a source.
type unrecorded struct {
	folder
	contents
}

func (u unrecorded) list() []string { return u.files }

func (u unrecorded) size(name string) (int64, error) {
	st, err := statAt(u.folder, name)
	return st.Size, err
}

func (u unrecorded) open(name string) (io.ReadCloser, error) {
	f, _, err := u.regular(name)
	return f, err
}

func (u unrecorded) link(name string) string { return u.links[path.Clean(name)] }
