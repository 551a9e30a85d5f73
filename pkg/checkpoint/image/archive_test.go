package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// exported is an image of testdata as an archive.
func exported(t testing.TB, compress bool) (spec.Image, []byte) {
	t.Helper()
	s := open(t, memoryDir(t))
	i, err := commit(t, s, saved(t))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Export(t.Context(), i.Ref(), &out, compress); err != nil {
		t.Fatal(err)
	}
	return i, out.Bytes()
}

// An image comes back from an archive as it was, whether it was packed on disk or is as a whole, under its own name or another.
func TestExportImport(t *testing.T) {
	for _, isPacked := range []bool{false, true} {
		for _, compress := range []bool{false, true} {
			t.Run(fmt.Sprintf("packed=%v,compress=%v", isPacked, compress), func(t *testing.T) {
				s := open(t, memoryDir(t))
				i, err := commit(t, s, saved(t))
				if err == nil && isPacked {
					_, err = s.Pack(t.Context(), i.Ref())
				}
				if err != nil {
					t.Fatal(err)
				}
				var out bytes.Buffer
				if err := s.Export(t.Context(), i.Ref(), &out, compress); err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"", "other"} {
					comesBack(t, i, out.Bytes(), name)
				}
			})
		}
	}
}

func comesBack(t *testing.T, i spec.Image, archive []byte, name string) {
	t.Helper()
	s := open(t, memoryDir(t))
	got, err := s.Import(t.Context(), bytes.NewReader(archive), name)
	if err != nil {
		t.Fatal(err)
	}
	want := i
	want.Kept = true
	if name != "" {
		want.Container = name
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("imported %+v\nwant %+v", got, want)
	}
	r, err := s.Acquire(got.Ref())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Verify(t.Context()), r.Check(t.Context(), policy()), r.Close()); err != nil {
		t.Error(err)
	}
	again, err := s.Import(t.Context(), bytes.NewReader(archive), name)
	if err != nil || again.ID <= got.ID {
		t.Errorf("imported again: %s after %s, %v", again.ID, got.ID, err)
	}
	if list := list(t, s, ""); len(list) != 2 {
		t.Errorf("there are %v", list)
	}
}

// entry is one thing in an archive.
type entry struct {
	tar.Header
	text []byte
}

func unpackTar(t testing.TB, archive []byte) (list []entry) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, entry{*h, text})
	}
}

func packTar(t testing.TB, list []entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range list {
		e.PAXRecords = nil
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func at(list []entry, name string) int {
	return slices.IndexFunc(list, func(e entry) bool { return e.Name == name })
}

// An archive that is not exactly one of ours makes no image, and nothing anywhere else.
func TestHostileArchives(t *testing.T) {
	_, archive := exported(t, false)
	file := func(name string, text string) entry {
		return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o777}, []byte(text)}
	}
	special := func(kind byte, name, target string) entry {
		return entry{Header: tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: 0o777, Devmajor: 1, Devminor: 3}}
	}
	with := func(more ...entry) func([]entry) []entry {
		return func(l []entry) []entry { return append(l, more...) }
	}
	sealed := func(old, now string) func([]entry) []entry {
		return func(l []entry) []entry {
			_, body, _ := bytes.Cut(bytes.TrimSuffix(l[0].text, []byte("}\n")), []byte(`"record":`))
			text, err := image.Seal(bytes.Replace(body, []byte(old), []byte(now), 1))
			if err != nil {
				t.Fatal(err)
			}
			l[0].text, l[0].Size = text, int64(len(text))
			return l
		}
	}
	for name, change := range map[string]func([]entry) []entry{
		"empty":        func([]entry) []entry { return nil },
		"no record":    func(l []entry) []entry { return l[1:] },
		"record last":  func(l []entry) []entry { return append(l[1:], l[0]) },
		"record twice": func(l []entry) []entry { return append(l, l[0]) },
		"a file less": func(l []entry) []entry {
			return slices.Delete(l, at(l, "checkpoint/core-1.img"), at(l, "checkpoint/core-1.img")+1)
		},
		"a file twice":  func(l []entry) []entry { return append(l, l[at(l, "checkpoint/core-1.img")]) },
		"a file more":   with(file("checkpoint/core-99.img", "x")),
		"above":         with(file("../evil", "x")),
		"above, inside": with(file("checkpoint/../../evil", "x")),
		"absolute":      with(file("/tmp/evil", "x")),
		"link":          with(special(tar.TypeSymlink, "checkpoint/evil", "/etc/passwd")),
		"link in place": func(l []entry) []entry {
			l[at(l, "checkpoint/core-1.img")] = special(tar.TypeSymlink, "checkpoint/core-1.img", "/etc/passwd")
			return l
		},
		"hard link":            with(special(tar.TypeLink, "checkpoint/evil", "checkpoint/core-1.img")),
		"device":               with(special(tar.TypeChar, "checkpoint/evil", "")),
		"fifo":                 with(special(tar.TypeFifo, "checkpoint/evil", "")),
		"directory above":      with(special(tar.TypeDir, "../evil/", "")),
		"file for a directory": func(l []entry) []entry { return slices.Insert(l, 1, file("checkpoint", "x")) },
		"one byte":             func(l []entry) []entry { l[at(l, "checkpoint/pages-1.img")].text[5000]++; return l },
		"shorter": func(l []entry) []entry {
			e := &l[at(l, "checkpoint/pages-1.img")]
			e.text, e.Size = e.text[:4096], 4096
			return l
		},
		"record flipped":       func(l []entry) []entry { l[0].text[100] ^= 1; return l },
		"record of elsewhere":  sealed(`"container":"web"`, `"container":"../x"`),
		"record of a path":     sealed(`"path":"rootfs-diff.tar"`, `"path":"../x"`),
		"record of itself":     sealed(`"path":"rootfs-diff.tar"`, `"path":"reconciler.json"`),
		"more than there is":   sealed(`"size":`, `"size":9999999`),
		"record of a link":     sealed(`"pages":`, `"links":{"checkpoint/parent":"../../.."},"pages":`),
		"no parent":            sealed(`"pages":`, `"links":{"checkpoint/parent":"../pre-1"},"pages":`),
		"packed inside":        sealed(`"sha256":`, `"packed":{"size":1,"sha256":"`+strings.Repeat("0", 64)+`"},"sha256":`),
		"a text of a terminal": sealed(`"cause":"a test"`, `"cause":"\u001b[2J"`),
	} {
		t.Run(name, func(t *testing.T) { refusedArchive(t, packTar(t, change(unpackTar(t, archive)))) })
	}
	for name, text := range map[string][]byte{
		"nothing": nil, "noise": bytes.Repeat([]byte("noise"), 1000), "cut off": archive[:len(archive)/2], "packed noise": append([]byte{0x28, 0xb5, 0x2f, 0xfd}, bytes.Repeat([]byte{7}, 100)...),
		"a bomb": bomb(t),
	} {
		t.Run(name, func(t *testing.T) { refusedArchive(t, text) })
	}
}

// bomb is a terabyte of zeros in little room.
func bomb(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "reconciler.json", Size: 1 << 40, Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 64 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func refusedArchive(t *testing.T, archive []byte) {
	t.Helper()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "images"))
	i, err := s.Import(t.Context(), bytes.NewReader(archive), "web")
	if !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, syscallENOSPC) {
		t.Errorf("import: %+v, %v", i, err)
	}
	if got := tree(t, dir); !slices.Equal(got, []string{"images", "images/.lock", "images/.sets"}) {
		t.Errorf("left: %v", got)
	}
}

// An image that was changed on disk is not exported: nothing of it is written.
func TestExportDamaged(t *testing.T) {
	dir := memoryDir(t)
	s := open(t, dir)
	i, err := commit(t, s, saved(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, i.Ref(), "checkpoint/core-1.img")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[50] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Export(t.Context(), i.Ref(), &out, true); !errors.Is(err, fs.ErrInvalid) || out.Len() > 0 {
		t.Errorf("export of a damaged image: %v, %d bytes", err, out.Len())
	}
}

// An older image that comes back does not become the newest.
func TestImportKeepsItsPlace(t *testing.T) {
	i, archive := exported(t, true)
	s := open(t, memoryDir(t))
	time.Sleep(2 * time.Millisecond)
	newer := mustTake(t, s, "web")
	if _, err := s.Import(t.Context(), bytes.NewReader(archive), ""); err != nil {
		t.Fatal(err)
	}
	if got, want := list(t, s, "web"), []string{i.Ref(), newer.Ref()}; !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
	early := open(t, memoryDir(t))
	early.SetClock(func() time.Time { return i.CreatedAt.Add(-time.Hour) })
	got, err := early.Import(t.Context(), bytes.NewReader(archive), "")
	if err != nil || got.ID >= i.ID || got.CreatedAt.After(i.CreatedAt.Add(-time.Hour)) {
		t.Errorf("an image of tomorrow: %+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Import(ctx, bytes.NewReader(archive), "db"); !errors.Is(err, context.Canceled) {
		t.Errorf("import after the end: %v", err)
	}
}

// checkpointctl, which shows the archives of other engines, shows ours.
func TestCheckpointctl(t *testing.T) {
	tool, err := exec.LookPath("checkpointctl")
	if err != nil {
		t.Skip("skip: needs checkpointctl: go install github.com/checkpoint-restore/checkpointctl@v1.6.0 installs it")
	}
	for _, compress := range []bool{false, true} {
		i, archive := exported(t, compress)
		path := filepath.Join(t.TempDir(), "web.tar")
		if err := os.WriteFile(path, archive, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			args []string
			want []string
		}{
			{[]string{"show", path}, []string{"web", "reconciler", i.CreatedAt.UTC().Format("2006-01-02")}},
			{[]string{"inspect", path, "--ps-tree", "--files", "--metadata"}, []string{"web", "[1]  busybox", "sleep", "Process tree"}},
		} {
			out, err := exec.Command(tool, c.args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", c.args[0], err, out)
			}
			for _, w := range c.want {
				if !strings.Contains(string(out), w) {
					t.Errorf("%s says nothing of %q:\n%s", c.args[0], w, out)
				}
			}
		}
	}
}

func FuzzArchive(f *testing.F) {
	s := open(f, memoryDir(f))
	i, err := commit(f, s, small(f))
	if err != nil {
		f.Fatal(err)
	}
	for _, compress := range []bool{false, true} {
		var out bytes.Buffer
		if err := s.Export(f.Context(), i.Ref(), &out, compress); err != nil {
			f.Fatal(err)
		}
		if _, err := s.Import(f.Context(), bytes.NewReader(out.Bytes()), "db"); err != nil {
			f.Fatal(err)
		}
		f.Add(out.Bytes())
		f.Add(out.Bytes()[:out.Len()/2])
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		dir := memoryDir(t)
		s := open(t, dir)
		i, err := s.Import(context.Background(), bytes.NewReader(archive), "web")
		if err != nil && !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, syscallENOSPC) {
			t.Error(err)
		}
		if err == nil {
			err = verify(t, s, i.Ref())
		} else if left := list(t, s, ""); left != nil {
			t.Errorf("left: %v", left)
		} else {
			err = nil
		}
		if err != nil {
			t.Error(err)
		}
	})
}
