package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Import makes an image of an archive that Export wrote, for a container, or for the archive's own for "". Nothing in it is believed: what the record does not
// name is not taken, each file has the size and the hash of the record or there is no image, and neither mounts nor devices come from it. The image is kept until somebody
// removes it. An archive that is anything else is fs.ErrInvalid.
func (s *Store) Import(ctx context.Context, r io.Reader, container string) (spec.Image, error) {
	i, err := s.importTar(ctx, r, container)
	if err != nil {
		return spec.Image{}, fmt.Errorf("cannot import an image: %w", err)
	}
	return i, nil
}

// zstdMagic begins what was packed.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

func (s *Store) importTar(ctx context.Context, r io.Reader, container string) (i spec.Image, err error) {
	in := bufio.NewReaderSize(withContext{ctx, r}, 1<<20)
	plain := io.Reader(in)
	if head, _ := in.Peek(len(zstdMagic)); bytes.Equal(head, zstdMagic) {
		z, err := newDecoder(in)
		if err != nil {
			return i, err
		}
		defer z.Close()
		plain = z
	}
	a := &importing{ctx: ctx, tar: tar.NewReader(plain), seen: map[string]bool{}}
	if err := a.readRecord(); err != nil {
		return i, err
	}
	if container == "" {
		container = a.record.Image.Container
	}
	if !containerName.MatchString(container) {
		return i, fmt.Errorf("%q is no container: %w", container, fs.ErrInvalid)
	}
	if a.w, err = s.begin(container, a.record.Image.ID); err != nil {
		return i, err
	}
	if err := a.take(); err != nil {
		return i, errors.Join(err, a.w.Abort())
	}
	a.w.origin = a.record
	facts := a.record.Image
	facts.Kept = true
	return a.w.Commit(ctx, facts)
}

// importing is an archive that is being read.
type importing struct {
	ctx    context.Context
	tar    *tar.Reader
	record *record
	w      *Writer
	seen   map[string]bool
}

// next is the next thing in the archive that is not a directory of the image: io.EOF after the last.
func (a *importing) next() (*tar.Header, error) {
	for {
		h, err := a.tar.Next()
		if errors.Is(err, io.EOF) {
			return nil, err
		}
		if err != nil {
			return nil, a.unreadable(err)
		}
		for key := range h.PAXRecords {
			if strings.HasPrefix(key, "GNU.sparse") {
				return nil, fmt.Errorf("%.64q is a file with holes: %w", h.Name, fs.ErrInvalid)
			}
		}
		switch {
		case h.Typeflag == tar.TypeReg && checkPath(h.Name) == nil:
			return h, nil
		case h.Typeflag == tar.TypeDir && a.record != nil && checkPath(strings.TrimSuffix(h.Name, "/")) == nil:
		default:
			return nil, fmt.Errorf("%.64q is neither a file nor a directory of an image: %w", h.Name, fs.ErrInvalid)
		}
	}
}

// unreadable gives errors of the archive their class; those of its source stay what they are.
func (a *importing) unreadable(err error) error {
	if a.ctx.Err() != nil {
		return a.ctx.Err()
	}
	return fmt.Errorf("the archive cannot be read: %w: %w", err, fs.ErrInvalid)
}

// readRecord reads the record, which comes first.
func (a *importing) readRecord() error {
	h, err := a.next()
	if errors.Is(err, io.EOF) || err == nil && h.Name != recordName {
		return fmt.Errorf("the archive does not begin with %s: it is none of ours: %w", recordName, fs.ErrInvalid)
	}
	if err != nil {
		return err
	}
	if h.Size > maxRecord {
		return fmt.Errorf("the record has %d bytes: %w", h.Size, fs.ErrInvalid)
	}
	text, err := io.ReadAll(a.tar)
	if err != nil {
		return a.unreadable(err)
	}
	r, err := decode(text)
	if err != nil {
		return err
	}
	if r.Image.Compression != "" || slices.ContainsFunc(r.Files, func(f file) bool { return f.Packed != nil }) {
		return fmt.Errorf("the files in the archive are packed one by one: %w", fs.ErrInvalid)
	}
	a.record = r
	return nil
}

// take writes the files of the archive, and links as the record has them.
func (a *importing) take() error {
	if err := a.hasRoom(); err != nil {
		return err
	}
	for {
		h, err := a.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := a.takeFile(h); err != nil {
			return err
		}
	}
	for _, f := range a.record.Files {
		if !a.seen[f.Path] {
			return fmt.Errorf("%s is missing: %w", f.Path, fs.ErrInvalid)
		}
	}
	return a.w.dir.symlink(a.record.Links)
}

// hasRoom refuses at once what could only fail later.
func (a *importing) hasRoom() error {
	r := Reader{record: a.record}
	return r.roomFor(a.w.dir, func(string) bool { return true })
}

// maxIgnored bounds a file that tools look for and we do not.
const maxIgnored = 16 << 20

// takeFile takes one file.
func (a *importing) takeFile(h *tar.Header) error {
	f, ok := a.record.find(h.Name)
	switch {
	case a.seen[h.Name]:
		return fmt.Errorf("%s is there twice: %w", h.Name, fs.ErrInvalid)
	case !ok && (h.Name == configName || h.Name == specName) && h.Size <= maxIgnored:
		a.seen[h.Name] = true
		return nil
	case !ok:
		return fmt.Errorf("%s is in the archive and not in its record: %w", h.Name, fs.ErrInvalid)
	case h.Size != f.Size:
		return fmt.Errorf("%s has %d bytes, not %d: %w", h.Name, h.Size, f.Size, fs.ErrInvalid)
	}
	a.seen[h.Name] = true
	out, err := a.w.Create(f.Path)
	if err != nil {
		return err
	}
	err = copySparse(out, &checked{r: archived{a}, want: f, hash: sha256.New()}, f.Size)
	return errors.Join(err, out.Close())
}

// archived reads the file that the archive is at.
type archived struct{ a *importing }

func (r archived) Read(b []byte) (int, error) {
	n, err := r.a.tar.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.a.unreadable(err)
	}
	return n, err
}
