package image_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

var update = flag.Bool("update", false, "let criu write the images of testdata again")

// saved are criu's images of a container as dump makes it, by name.
func saved(t testing.TB) map[string][]byte {
	t.Helper()
	z, err := zip.OpenReader("testdata/container.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	images := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if images[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return images
}

// save writes testdata.
func save(t *testing.T, images map[string][]byte) {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	for _, name := range slices.Sorted(maps.Keys(images)) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err == nil {
			_, err = w.Write(images[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), os.MkdirAll("testdata", 0o755), os.WriteFile("testdata/container.zip", out.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// small are as few of them as make an image.
func small(t testing.TB) map[string][]byte {
	t.Helper()
	images := saved(t)
	for name := range images {
		switch name {
		case "inventory.img", "core-1.img", "ids-1.img", "seccomp.img", mountsName:
		case "pstree.img":
			images[name] = images[name][:8+4+10]
		default:
			delete(images, name)
		}
	}
	return images
}

// readDir reads a directory of criu's images.
func readDir(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	images := map[string][]byte{}
	for _, e := range entries {
		if images[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return images
}

// commit makes an image of criu's.
func commit(t testing.TB, s *image.Store, images map[string][]byte) (spec.Image, error) {
	t.Helper()
	w, err := s.Begin("web")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range images {
		f, err := w.Create("checkpoint/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"rootfs-diff.tar": "no tar", "dump.log": "well"} {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return w.Commit(t.Context(), spec.Image{Cause: "a test", CRIU: "4.2.1", Hash: "abc", Spec: spec.Container{Metadata: spec.Metadata{Name: "web"}}})
}

// acquire commits and takes into use.
func acquire(t testing.TB, images map[string][]byte) *image.Reader {
	t.Helper()
	s := open(t, memoryDir(t))
	i, err := commit(t, s, images)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Acquire(i.Ref())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}
