package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// packFloor is from which size on a file is packed. Most images of a process are smaller, and are read before each restore.
const packFloor = 16 << 10

// Pack packs the large files of an image, while it stays of use: until the last moment it is as it was, from then on it is packed. One that is packed already is left alone.
// What is not as it was written is not packed but fs.ErrInvalid; an image in use at that last moment is spec.ErrBusy.
func (s *Store) Pack(ctx context.Context, ref string) (spec.Image, error) {
	i, err := s.pack(ctx, ref)
	if err != nil {
		return spec.Image{}, fmt.Errorf("cannot pack the image %s: %w", ref, err)
	}
	return i, nil
}

func (s *Store) pack(ctx context.Context, ref string) (i spec.Image, err error) {
	r, err := s.Acquire(ref)
	if err != nil {
		return i, err
	}
	defer r.Close()
	if r.record.Image.Compression != "" {
		return r.record.Image, nil
	}
	room := r.id + packSuffix
	work, err := s.packRoom(r, room)
	if err != nil {
		return i, err
	}
	defer func() { err = errors.Join(err, s.dropRoom(r.container, room), work.close()) }()
	files, err := packAll(ctx, r, work)
	if err != nil {
		return i, err
	}
	// The shared lock goes, the other comes: whoever takes the image into use or away in between is before us.
	if err := r.Close(); err != nil {
		return i, err
	}
	return s.rewrite(ref, func(image folder, now *record) error {
		if !slices.Equal(now.Files, r.record.Files) {
			return fmt.Errorf("it was changed meanwhile: %w", spec.ErrBusy)
		}
		now.Files, now.Image.Compression = files, spec.CompressZstd
		return movePacked(image, work, files)
	})
}

// packRoom makes the directory that packed files are written to. Its lock says that they are.
func (s *Store) packRoom(r *Reader, name string) (folder, error) {
	s.beginning.Lock()
	defer s.beginning.Unlock()
	if !isLocked(r.parent, name) { // what an earlier attempt has left
		if err := r.parent.removeAll(name); err != nil {
			return folder{}, err
		}
	}
	if err := r.parent.mkdir(name, 0o700); errors.Is(err, fs.ErrExist) {
		return folder{}, fmt.Errorf("it is being packed: %w", spec.ErrBusy)
	} else if err != nil {
		return folder{}, err
	}
	work, err := r.parent.sub(name)
	if err != nil {
		return folder{}, err
	}
	if err := flock(work.dir, unix.LOCK_EX); err != nil {
		return folder{}, errors.Join(err, work.close())
	}
	return work, nil
}

// dropRoom removes it. The image may have gone meanwhile, and its container's directory with it.
func (s *Store) dropRoom(container, name string) error {
	dir, err := s.root.sub(container)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.close()
	if err := dir.removeAll(name); err != nil {
		return err
	}
	return s.tidy(container, dir)
}

// packAll packs what gets smaller by it, as files that are numbered like those of the record.
func packAll(ctx context.Context, r *Reader, work folder) ([]file, error) {
	files := slices.Clone(r.record.Files)
	for i, f := range files {
		if f.Size < packFloor || isLate(f.Path) {
			continue
		}
		p, err := packOne(ctx, r, f, work, strconv.Itoa(i))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		if p.Size < f.Size-f.Size/8 {
			files[i].Packed = &p
		}
	}
	return files, nil
}

func packOne(ctx context.Context, r *Reader, f file, work folder, name string) (p packed, err error) {
	in, err := r.Open(f.Path)
	if err != nil {
		return p, err
	}
	defer in.Close()
	out, err := work.create(name)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	sum := &counter{w: out, hash: sha256.New()}
	// One core: the containers have the others.
	z, err := zstd.NewWriter(sum, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return p, err
	}
	_, err = io.Copy(z, &checked{r: withContext{ctx, in}, want: f, hash: sha256.New()})
	if err = errors.Join(err, z.Close()); err != nil {
		return p, err
	}
	if err := out.Chmod(0o444); err != nil {
		return p, err
	}
	return packed{sum.n, hex.EncodeToString(sum.hash.Sum(nil))}, work.syncFile(out, name)
}

// movePacked puts packed files beside the others. The record says which of them count.
func movePacked(image, work folder, files []file) error {
	dirs := map[string]bool{}
	for i, f := range files {
		if f.Packed == nil {
			continue
		}
		dir := path.Dir(f.Path)
		to, err := image.sub(dir)
		if err != nil {
			return err
		}
		name := path.Base(f.Path) + packedSuffix
		if err = to.step("rename", name); err == nil {
			err = unix.Renameat(int(work.dir.Fd()), strconv.Itoa(i), int(to.dir.Fd()), name)
		}
		if err = errors.Join(err, to.close()); err != nil {
			return err
		}
		dirs[dir] = true
	}
	for dir := range dirs {
		d, err := image.open(dir, unix.O_DIRECTORY|unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(image.syncFile(d, dir), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// counter counts and hashes what is written.
type counter struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.hash.Write(b[:n])
	c.n += int64(n)
	return n, err
}

// withContext ends a reader with its context.
type withContext struct {
	ctx context.Context
	io.Reader
}

func (c withContext) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(b)
}

// checked is a reader that ends well only when it has given what a file was when it was written; one byte more ends it at once.
type checked struct {
	r    io.Reader
	want file
	hash hash.Hash
	n    int64
}

func (c *checked) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	c.hash.Write(b[:n])
	if c.n > c.want.Size || errors.Is(err, io.EOF) && (c.n != c.want.Size || hex.EncodeToString(c.hash.Sum(nil)) != c.want.SHA256) {
		return 0, fmt.Errorf("%s is not as it was written: %w", c.want.Path, fs.ErrInvalid)
	}
	return n, err
}

// maxWindow bounds what an unpacker keeps; packers here use less.
const maxWindow = 8 << 20

// unpacker reads what was packed.
type unpacker struct {
	checked
	z *zstd.Decoder
	f *os.File
}

func unpack(f *os.File, want file) (io.ReadCloser, error) {
	z, err := newDecoder(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &unpacker{checked{r: invalid{z}, want: want, hash: sha256.New()}, z, f}, nil
}

func newDecoder(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
}

func (u *unpacker) Close() error {
	u.z.Close()
	return u.f.Close()
}

// invalid gives the errors of what is no packed file their class; those of the disk stay what they are.
type invalid struct{ io.Reader }

func (i invalid) Read(b []byte) (int, error) {
	n, err := i.Reader.Read(b)
	if _, isPath := errors.AsType[*fs.PathError](err); err != nil && !errors.Is(err, io.EOF) && !isPath {
		err = fmt.Errorf("it cannot be unpacked: %v: %w", err, fs.ErrInvalid)
	} else if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("it is cut off: %w", fs.ErrInvalid)
	}
	return n, err
}
