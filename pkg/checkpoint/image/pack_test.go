package image_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const syscallENOSPC = unix.ENOSPC

// A packed image takes less room and is of the same use.
func TestPack(t *testing.T) {
	dir := memoryDir(t)
	s := open(t, dir)
	images := saved(t)
	i, err := commit(t, s, images)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := s.Pack(t.Context(), i.Ref())
	if err != nil {
		t.Fatal(err)
	}
	want := i
	want.Bytes, want.Compression = packed.Bytes, spec.CompressZstd
	if packed.Bytes > i.Bytes/2 || fmt.Sprint(packed) != fmt.Sprint(want) {
		t.Errorf("packed %+v\nof %+v", packed, i)
	}
	if again, err := s.Pack(t.Context(), i.Ref()); err != nil || fmt.Sprint(again) != fmt.Sprint(packed) {
		t.Errorf("packed again: %+v, %v", again, err)
	}
	if _, err := os.Stat(filepath.Join(dir, i.Ref(), "checkpoint/pages-1.img")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	r, err := s.Acquire(i.Ref())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := errors.Join(r.Verify(t.Context()), r.Check(t.Context(), policy())); err != nil {
		t.Error(err)
	}
	scratch := t.TempDir()
	d, err := os.Open(scratch)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if !r.IsPacked() {
		t.Error("it does not say that it is packed")
	}
	plain, err := r.Unpack(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	got := readDir(t, plain.Name())
	if len(got) != len(images) {
		t.Errorf("unpacked %d files of %d", len(got), len(images))
	}
	for name, text := range images {
		if !bytes.Equal(got[name], text) {
			t.Errorf("%s differs", name)
		}
	}
}

// What is packed and was changed is refused, and so is one that was changed before it was packed.
func TestPackDamaged(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		dir := memoryDir(t)
		s := open(t, dir)
		i, err := commit(t, s, saved(t))
		if err != nil {
			t.Fatal(err)
		}
		name := "checkpoint/pages-1.img"
		if when == "after" {
			if _, err := s.Pack(t.Context(), i.Ref()); err != nil {
				t.Fatal(err)
			}
			name += ".zst"
		}
		path := filepath.Join(dir, i.Ref(), name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)/2] ^= 4
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if when == "before" {
			if _, err := s.Pack(t.Context(), i.Ref()); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("packed what was changed: %v", err)
			}
			continue
		}
		if err := verify(t, s, i.Ref()); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("verified what was changed: %v", err)
		}
		r, err := s.Acquire(i.Ref())
		if err != nil {
			t.Fatal(err)
		}
		d, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Unpack(t.Context(), d); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("unpacked what was changed: %v", err)
		}
		_ = errors.Join(d.Close(), r.Close())
	}
}

// An image in use is packed by nobody, and stays of use.
func TestPackInUse(t *testing.T) {
	s := open(t, memoryDir(t))
	i, err := commit(t, s, saved(t))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Acquire(i.Ref())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := s.Pack(t.Context(), i.Ref()); !errors.Is(err, spec.ErrBusy) {
		t.Errorf("packed one in use: %v", err)
	}
	if err := r.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}
