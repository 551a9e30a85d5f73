package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Unpack writes criu's images as they were before they were packed into an empty directory, and opens the one for criu in it. Each is compared with the record while it
// is written, and takes no more room than that says. What was written when it fails is the caller's to remove.
func (r *Reader) Unpack(ctx context.Context, dir *os.File) (*os.File, error) {
	to := folder{dir, r.dir.trip}
	if err := r.unpack(ctx, to); err != nil {
		return nil, fmt.Errorf("cannot unpack the image %s: %w", r.Ref(), err)
	}
	return to.open(imagesName, unix.O_DIRECTORY|unix.O_RDONLY, 0)
}

func (r *Reader) unpack(ctx context.Context, to folder) error {
	if err := r.roomFor(to, forCRIU); err != nil {
		return err
	}
	made := map[string]bool{}
	for _, f := range r.record.Files {
		top, _, isBelow := strings.Cut(f.Path, "/")
		if !isBelow || !forCRIU(f.Path) {
			continue
		}
		if !made[top] {
			if err := to.mkdir(top, 0o755); err != nil {
				return err
			}
			made[top] = true
		}
		if err := r.unpackFile(ctx, to, f); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return to.symlink(r.record.Links)
}

// forCRIU tells whether a file is one of criu's images.
func forCRIU(p string) bool {
	dir := path.Dir(p)
	return dir == imagesName || strings.HasPrefix(dir, "pre-")
}

// roomFor refuses at once what could only fail later.
func (r *Reader) roomFor(to folder, isWanted func(path string) bool) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(to.dir.Fd()), &st); err != nil {
		return err
	}
	var sum uint64
	for _, f := range r.record.Files {
		if isWanted(f.Path) {
			sum += uint64(f.Size)
		}
	}
	if room := st.Bavail * uint64(st.Bsize); st.Blocks > 0 && sum > room {
		return fmt.Errorf("it needs %d bytes, and there are %d: %w", sum, room, unix.ENOSPC)
	}
	return nil
}

func (r *Reader) unpackFile(ctx context.Context, to folder, f file) error {
	in, closer, err := r.whole(ctx, f)
	if err != nil {
		return err
	}
	defer closer.Close()
	out, err := to.create(f.Path)
	if err != nil {
		return err
	}
	err = copySparse(out, in, f.Size)
	if err == nil {
		err = out.Chmod(0o444)
	}
	return errors.Join(err, out.Close())
}

// copySparse writes what is not zero.
func copySparse(out *os.File, in io.Reader, size int64) error {
	block, zero := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := io.ReadFull(in, block)
		if n > 0 && !bytes.Equal(block[:n], zero[:n]) {
			if _, err := out.WriteAt(block[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	return out.Truncate(size)
}
