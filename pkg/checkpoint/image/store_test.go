package image_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// open opens a store that the test closes.
func open(t testing.TB, dir string) *image.Store {
	t.Helper()
	s, err := image.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// contents are the files of the images that tests write. The large one is large enough to be remembered.
func contents() map[string][]byte {
	return map[string][]byte{
		"checkpoint/inventory.img": []byte("inventory"),
		"checkpoint/core-1.img":    []byte("core"),
		"checkpoint/big.img":       bytes.Repeat([]byte("0123456789abcdef"), 1<<16+1),
		"rootfs-diff.tar":          []byte("a tar"),
		"tmpfs/dev-shm.tar":        []byte("another"),
		"dump.log":                 []byte("(00.000) all is well\n"),
	}
}

// fill writes the files of an image.
func fill(w *image.Writer) error {
	for name, text := range contents() {
		f, err := w.Create(name)
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// take takes an image of a container.
func take(s *image.Store, container string) (spec.Image, error) {
	w, err := s.Begin(container)
	if err != nil {
		return spec.Image{}, err
	}
	if err := fill(w); err != nil {
		return spec.Image{}, errors.Join(err, w.Abort())
	}
	return w.Commit(context.Background(), spec.Image{Cause: "a test", Instance: 3, Hash: "abc"})
}

func mustTake(t testing.TB, s *image.Store, container string) spec.Image {
	t.Helper()
	i, err := take(s, container)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func list(t testing.TB, s *image.Store, container string) (refs []string) {
	t.Helper()
	images, err := s.List(container)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range images {
		if i.Problem != "" {
			t.Errorf("%s: %s", i.Ref(), i.Problem)
		}
		refs = append(refs, i.Ref())
	}
	return refs
}

// tree is everything below a directory, but what is remembered of files that were read.
func tree(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); err == nil && rel != "." && filepath.Base(path) != ".verified" {
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestLife(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "checkpoints")
	s := open(t, dir)
	w, err := s.Begin("web")
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(w); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, ""); got != nil {
		t.Errorf("before the commit there are %v", got)
	}
	i, err := w.Commit(t.Context(), spec.Image{Container: "other", ID: "x", Cause: "because", Stopped: true, Set: "no", Spec: spec.Container{Metadata: spec.Metadata{Name: "web"}}})
	if err != nil {
		t.Fatal(err)
	}
	if i.Ref() != w.Ref() || i.Set != "" || i.Kernel == "" || i.Arch == "" || i.CreatedAt.IsZero() || i.Bytes < 1<<20 || i.Cause != "because" || !i.Stopped {
		t.Errorf("committed %+v", i)
	}
	images, err := s.List("web")
	if err != nil || len(images) != 1 || images[0].Spec.Metadata.Name != "web" {
		t.Fatalf("list: %+v, %v", images, err)
	}
	if again, err := s.List(""); err != nil || fmt.Sprint(again) != fmt.Sprint(images) || fmt.Sprint(again[0]) != fmt.Sprint(i) {
		t.Errorf("list of all: %+v, %v\nwant %+v", again, err, i)
	}
	r, err := s.Acquire(i.Ref())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Remove(i.Ref()); !errors.Is(err, spec.ErrBusy) {
		t.Errorf("removal of an image in use: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := s.Remove(i.Ref()); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Acquire(i.Ref()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("use of an image that is gone: %v", err)
	}
	if got := tree(t, dir); !slices.Equal(got, []string{".lock", ".sets"}) {
		t.Errorf("left: %v", got)
	}
}

func TestAbort(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	w, err := s.Begin("web")
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(w); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.Commit(t.Context(), spec.Image{}); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("commit of what was given up: %v", err)
	}
	w, err = s.Begin("web")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Commit(ctx, spec.Image{}); !errors.Is(err, context.Canceled) {
		t.Errorf("commit after the end: %v", err)
	}
	if got := tree(t, dir); !slices.Equal(got, []string{".lock", ".sets"}) {
		t.Errorf("left: %v", got)
	}
}

func TestOneStore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if other, err := image.Open(dir); !errors.Is(err, spec.ErrBusy) {
		t.Errorf("a second store: %v, %v", other, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// An image sorts after those before it, whatever the clock says.
func TestClockGoesBackwards(t *testing.T) {
	s := open(t, t.TempDir())
	now := time.Date(2026, 11, 26, 23, 59, 59, 999e6, time.UTC)
	var want []string
	for _, step := range []time.Duration{0, 0, -time.Hour, -24 * 365 * time.Hour, time.Millisecond, 5 * time.Millisecond} {
		s.SetClock(func() time.Time { return now.Add(step) })
		want = append(want, mustTake(t, s, "web").Ref())
	}
	if !slices.IsSorted(want) || want[0] != "web/20261126-235959999" || want[1] != "web/20261127-000000000" {
		t.Errorf("IDs are %v", want)
	}
	if got := list(t, s, "web"); !slices.Equal(got, want) {
		t.Errorf("list: %v, want %v", got, want)
	}
}

// A writer that is at work keeps its directory, whoever begins another; what has no writer goes at the next open.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	good := mustTake(t, s, "web")
	w, err := s.Begin("web")
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(w); err != nil {
		t.Fatal(err)
	}
	other, err := s.Begin("web")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Abort(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(t.Context(), spec.Image{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	for _, name := range []string{"web/20200101-000000000.partial/checkpoint/x", "web/20200101-000000001/checkpoint/x", "db/20200101-000000001/y", "web/" + good.ID + "/reconciler.json.new", "strange/file", outside + "/kept"} {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		write(t, name, "left")
	}
	for _, name := range []string{"web/20200101-000000002.partial", "web/20200101-000000003", "web/20200101-000000000.partial/checkpoint/out", "link"} {
		if err := os.Symlink(outside, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir)
	if err := s.Swept(); err != nil {
		t.Error(err)
	}
	if got, want := list(t, s, ""), []string{good.Ref(), w.Ref()}; !slices.Equal(got, want) {
		t.Errorf("images: %v, want %v", got, want)
	}
	for _, name := range tree(t, dir) {
		if text := filepath.Base(name); strings.Contains(text, "partial") || strings.HasSuffix(text, ".new") || strings.HasPrefix(name, "db") {
			t.Errorf("left: %s", name)
		}
	}
	for _, name := range []string{outside + "/kept", dir + "/strange/file", dir + "/link"} {
		if _, err := os.Lstat(name); err != nil {
			t.Errorf("what is not ours went: %v", err)
		}
	}
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestBadNames(t *testing.T) {
	s := open(t, t.TempDir())
	for _, name := range []string{"", ".", "..", ".sets", "../web", "a/b", "Web", "web\x00"} {
		if _, err := s.Begin(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Begin(%q): %v", name, err)
		}
		if list, err := s.List(name); name != "" && (list != nil || err != nil) {
			t.Errorf("List(%q): %v, %v", name, list, err)
		}
	}
	for _, ref := range []string{"", "web", "web/", "web/..", "web/20261126-203315123.partial", "/20261126-203315123", "../web/20261126-203315123", "web/20261126-203315123/"} {
		if _, err := s.Acquire(ref); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Acquire(%q): %v", ref, err)
		}
		if err := s.Remove(ref); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Remove(%q): %v", ref, err)
		}
	}
	w, err := s.Begin("web")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for _, name := range []string{"", ".", "..", "/etc/passwd", "../x", "checkpoint/../../x", "a/b/c/d/e", ".hidden", "a\nb", "x/"} {
		if f, err := w.Create(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Create(%q): %v, %v", name, f, err)
		}
	}
}

// What a writer finds in its directory that is no file of an image is refused.
func TestStrangers(t *testing.T) {
	for name, put := range map[string]func(dir string) error{
		"link":           func(dir string) error { return os.Symlink("/etc/passwd", dir+"/checkpoint/files.img") },
		"link outside":   func(dir string) error { return os.Symlink("../../../..", dir+"/checkpoint/parent") },
		"link elsewhere": func(dir string) error { return os.Symlink("../pre-1", dir+"/parent") },
		"fifo":           func(dir string) error { return mkfifo(dir + "/checkpoint/pipe") },
		"record":         func(dir string) error { return os.WriteFile(dir+"/reconciler.json", nil, 0o600) },
		"odd name":       func(dir string) error { return os.WriteFile(dir+"/checkpoint/a b", nil, 0o600) },
		"hidden":         func(dir string) error { return os.WriteFile(dir+"/.hidden", nil, 0o600) },
		"deep":           func(dir string) error { return os.MkdirAll(dir+"/a/b/c/d/e/f", 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			w, err := s.Begin("web")
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(fill(w), put(filepath.Join(dir, w.Ref()+".partial"))); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Commit(t.Context(), spec.Image{}); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("commit: %v", err)
			}
			if got := tree(t, dir); !slices.Equal(got, []string{".lock", ".sets"}) {
				t.Errorf("left: %v", got)
			}
		})
	}
}

// Memory that was copied beforehand is reached by a link of criu's, which is part of the image.
func TestParentLink(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	w, err := s.Begin("web")
	if err != nil {
		t.Fatal(err)
	}
	pre, err := w.Mkdir("pre-1")
	if err != nil {
		t.Fatal(err)
	}
	pre.Close()
	f, err := w.Create("pre-1/stats-dump")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), fill(w), os.Symlink("../pre-1", filepath.Join(dir, w.Ref()+".partial/checkpoint/parent"))); err != nil {
		t.Fatal(err)
	}
	i, err := w.Commit(t.Context(), spec.Image{})
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(t, s, i.Ref()); err != nil {
		t.Error(err)
	}
	link := filepath.Join(dir, i.Ref(), "checkpoint/parent")
	if err := errors.Join(os.Remove(link), os.Symlink("../pre-2", link)); err != nil {
		t.Fatal(err)
	}
	if err := verify(t, s, i.Ref()); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("another link: %v", err)
	}
}

func TestChange(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	i := mustTake(t, s, "web")
	change := image.Change{
		Facts: func(i *spec.Image) {
			i.Kept, i.Frozen, i.Container, i.Hash = true, spec.Duration(time.Second), "db", "forged"
		},
		Late: map[string][]byte{"stats-dump": []byte("stats")},
	}
	changed, err := s.Change(i.Ref(), change)
	want := i
	want.Kept, want.Frozen, want.Bytes = true, spec.Duration(time.Second), i.Bytes+5
	if err != nil || fmt.Sprint(changed) != fmt.Sprint(want) {
		t.Errorf("changed: %+v, %v\nwant %+v", changed, err, want)
	}
	if images, err := s.List("web"); err != nil || len(images) != 1 || fmt.Sprint(images[0]) != fmt.Sprint(want) {
		t.Errorf("list: %+v, %v", images, err)
	}
	if err := verify(t, s, i.Ref()); err != nil {
		t.Error(err)
	}
	if _, err := s.Change(i.Ref(), change); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a late file twice: %v", err)
	}
	if _, err := s.Change(i.Ref(), image.Change{Late: map[string][]byte{"checkpoint/core-2.img": nil}}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("another file: %v", err)
	}
	r, err := s.Acquire(i.Ref())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := s.Change(i.Ref(), image.Change{}); !errors.Is(err, spec.ErrBusy) {
		t.Errorf("change of an image in use: %v", err)
	}
}

func verify(t testing.TB, s *image.Store, ref string) error {
	t.Helper()
	r, err := s.Acquire(ref)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Verify(context.Background())
}
