package image

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// An archive is a tar, packed as a whole or not, in the layout of podman's and CRI-O's: criu's images in checkpoint/, rootfs-diff.tar, config.dump, spec.dump and so on. The
// record comes first, so that everything after it is known by name, size and hash before it is read. What the image has not and tools that show archives
// ask for is made up, and is not taken when the archive comes back.

// Names that tools look for.
const (
	configName = "config.dump"
	specName   = "spec.dump"
)

// Export writes an image as an archive, packed with zstd or not. Nothing is written of one that is not whole.
func (s *Store) Export(ctx context.Context, ref string, w io.Writer, compress bool) error {
	r, err := s.Acquire(ref)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Verify(ctx); err != nil {
		return err
	}
	if err := r.export(ctx, w, compress); err != nil {
		return fmt.Errorf("cannot export the image %s: %w", ref, err)
	}
	return nil
}

func (r *Reader) export(ctx context.Context, w io.Writer, compress bool) error {
	if !compress {
		return r.writeTar(ctx, w)
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return err
	}
	return errors.Join(r.writeTar(ctx, z), z.Close())
}

func (r *Reader) writeTar(ctx context.Context, w io.Writer) error {
	buffer := bufio.NewWriterSize(w, 1<<20)
	a := &archive{tar.NewWriter(buffer), r.record.Image.CreatedAt, map[string]bool{}}
	text, err := r.record.unpacked().encode()
	if err != nil {
		return err
	}
	if err := a.text(recordName, text); err != nil {
		return err
	}
	if err := a.described(r.record); err != nil {
		return err
	}
	for _, f := range r.record.Files {
		if err := a.file(ctx, r, f); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return errors.Join(a.tar.Close(), buffer.Flush())
}

// unpacked is the record of an image as it is without being packed.
func (r *record) unpacked() *record {
	plain := *r
	plain.Files = slices.Clone(r.Files)
	for i := range plain.Files {
		plain.Files[i].Packed = nil
	}
	plain.Image.Compression, plain.Image.Bytes = "", plain.onDisk()
	return &plain
}

// archive is one that is being written.
type archive struct {
	tar  *tar.Writer
	time time.Time
	dirs map[string]bool
}

func (a *archive) header(kind byte, name string, size int64, mode int64) error {
	return a.tar.WriteHeader(&tar.Header{Typeflag: kind, Name: name, Size: size, Mode: mode, ModTime: a.time.Truncate(time.Second)})
}

func (a *archive) text(name string, text []byte) error {
	if err := a.header(tar.TypeReg, name, int64(len(text)), 0o600); err != nil {
		return err
	}
	_, err := a.tar.Write(text)
	return err
}

// file writes a file as it was before it was packed, and the directories it is in before.
func (a *archive) file(ctx context.Context, r *Reader, f file) error {
	if err := a.dir(path.Dir(f.Path)); err != nil {
		return err
	}
	in, closer, err := r.whole(ctx, f)
	if err != nil {
		return err
	}
	defer closer.Close()
	if err := a.header(tar.TypeReg, f.Path, f.Size, 0o600); err != nil {
		return err
	}
	_, err = io.Copy(a.tar, in)
	return err
}

func (a *archive) dir(name string) error {
	if name == "." || a.dirs[name] {
		return nil
	}
	if err := a.dir(path.Dir(name)); err != nil {
		return err
	}
	a.dirs[name] = true
	return a.header(tar.TypeDir, name+"/", 0, 0o700)
}

// containerConfig is config.dump as podman has it.
type containerConfig struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Runtime      string    `json:"runtime"`
	Created      time.Time `json:"createdTime"`
	Checkpointed time.Time `json:"checkpointedTime"`
	Restored     bool      `json:"restored"`
}

// described writes what tools look for and the image has not.
func (a *archive) described(r *record) error {
	i := r.Image
	for name, what := range map[string]any{
		configName: containerConfig{
			ID: i.Container + "-" + i.ID, Name: i.Container, Runtime: "reconciler", Created: i.CreatedAt, Checkpointed: i.CreatedAt,
		},
		specName: ociSpec(i),
	} {
		if _, ok := r.find(name); ok {
			continue
		}
		text, err := json.Marshal(what)
		if err != nil {
			return err
		}
		if err := a.text(name, text); err != nil {
			return err
		}
	}
	return nil
}

// ociSpec is as much of an OCI configuration as such tools show. The annotation says in which of the known ways they are to read the archive.
func ociSpec(i spec.Image) map[string]any {
	return map[string]any{
		"ociVersion":  "1.3.0",
		"hostname":    i.Container,
		"annotations": map[string]string{"io.container.manager": "libpod", "org.criu.checkpoint.criu.version": i.CRIU, "org.criu.checkpoint.host.arch": i.Arch, "org.criu.checkpoint.host.kernel": i.Kernel},
	}
}
