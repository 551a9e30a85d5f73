package image_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
)

// damages are what may become of a file of an image.
var damages = map[string]func(path string, text []byte, r *rand.Rand) error{
	"flipped": func(path string, text []byte, r *rand.Rand) error {
		text[r.IntN(len(text))] ^= 1 << r.IntN(8)
		return os.WriteFile(path, text, 0o600)
	},
	"truncated": func(path string, text []byte, r *rand.Rand) error {
		return os.Truncate(path, r.Int64N(int64(len(text))))
	},
	"zeroed": func(path string, text []byte, r *rand.Rand) error {
		clear(text[r.IntN(len(text)):])
		return os.WriteFile(path, text, 0o600)
	},
	"longer": func(path string, text []byte, r *rand.Rand) error {
		return os.WriteFile(path, append(text, byte(r.Uint32())), 0o600)
	},
	"missing": func(path string, _ []byte, _ *rand.Rand) error { return os.Remove(path) },
	"link": func(path string, text []byte, _ *rand.Rand) error {
		return errors.Join(os.Rename(path, path+".moved"), os.Symlink(path+".moved", path))
	},
	"fifo": func(path string, _ []byte, _ *rand.Rand) error { return errors.Join(os.Remove(path), mkfifo(path)) },
	"directory": func(path string, _ []byte, _ *rand.Rand) error {
		return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
	},
	"more": func(path string, _ []byte, _ *rand.Rand) error { return os.WriteFile(path+"2", nil, 0o600) },
}

// TestDamage damages each file of an image in each way, with the record: none is of use afterwards, and none is more than refused.
func TestDamage(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name := range contents() {
		for kind := range damages {
			t.Run(kind+"/"+name, func(t *testing.T) { damage(t, name, kind, random) })
		}
	}
	for kind := range damages {
		t.Run(kind+"/record", func(t *testing.T) { damage(t, "reconciler.json", kind, random) })
	}
}

func damage(t *testing.T, name, kind string, random *rand.Rand) {
	dir := memoryDir(t)
	s := open(t, dir)
	i := mustTake(t, s, "web")
	if err := verify(t, s, i.Ref()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, i.Ref(), name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again := bytes.Clone(text)
	if err := damages[kind](path, text, random); err != nil {
		t.Fatal(err)
	}
	if kind == "zeroed" {
		if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, again) {
			return // nothing but zeros was there
		}
	}
	refused(t, s, i.Ref())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	refused(t, s, i.Ref())
	if err := s.Remove(i.Ref()); err != nil {
		t.Errorf("removal: %v", err)
	}
	if left := list(t, s, ""); left != nil {
		t.Errorf("left: %v", left)
	}
}

// refused looks whether an image is of no use, and says so in the list, if it is there at all.
func refused(t *testing.T, s *image.Store, ref string) {
	t.Helper()
	if err := verify(t, s, ref); !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a damaged image: %v", err)
	}
	images, err := s.List("web")
	if err != nil || len(images) > 0 && images[0].Problem == "" {
		t.Errorf("the list shows it as %+v, %v", images, err)
	}
}

// Each bit of the record is under its hash.
func TestRecordBits(t *testing.T) {
	dir := memoryDir(t)
	s := open(t, dir)
	i := mustTake(t, s, "web")
	path := filepath.Join(dir, i.Ref(), "reconciler.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range text {
		for bit := range 8 {
			bad := bytes.Clone(text)
			bad[at] ^= 1 << bit
			if _, err := image.Decode(bad); !errors.Is(err, fs.ErrInvalid) {
				t.Fatalf("byte %d, bit %d: %v", at, bit, err)
			}
		}
		if _, err := image.Decode(text[:at]); !errors.Is(err, fs.ErrInvalid) {
			t.Fatalf("cut at %d: %v", at, err)
		}
	}
	if ref, err := image.Decode(text); ref != i.Ref() || err != nil {
		t.Errorf("as it was: %s, %v", ref, err)
	}
}

// A large file that was read since the machine started is not read again, by another store neither; one that was changed is.
func TestVerifiedOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	i := mustTake(t, s, "web")
	large := int64(len(contents()["checkpoint/big.img"]))
	check := func(when string, want error, isRead bool) {
		t.Helper()
		before := readBytes(t)
		err := verify(t, s, i.Ref())
		if got := readBytes(t)-before >= large; !errors.Is(err, want) || got != isRead {
			t.Errorf("%s: %v, read=%v", when, err, got)
		}
	}
	time.Sleep(50 * time.Millisecond) // a file that was written this moment may be written again without another time: nobody relies on that
	if err := verify(t, s, i.Ref()); err != nil {
		t.Fatal(err)
	}
	check("a second time", nil, false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	check("after the next open", nil, false)

	path := filepath.Join(dir, i.Ref(), "checkpoint/big.img")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{'x'}, 12345)
	if err := errors.Join(err, f.Close(), os.Chtimes(path, time.Time{}, info.ModTime())); err != nil {
		t.Fatal(err)
	}
	check("with a byte changed and the time put back", fs.ErrInvalid, true)

	verified := filepath.Join(dir, "web/.verified")
	text, err := os.ReadFile(verified)
	if err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	f, err = os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(contents()["checkpoint/big.img"], 0)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	check("as it was", nil, true)
	check("and again", nil, false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(text), strings.TrimSpace(string(boot)), "another-start-of-the-machine", 1)
	if err := os.WriteFile(verified, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	check("after a reboot", nil, true)
}

// readBytes is how much this process has read.
func readBytes(t *testing.T) (n int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(text), "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestVerifyEnds(t *testing.T) {
	s := open(t, t.TempDir())
	i := mustTake(t, s, "web")
	r, err := s.Acquire(i.Ref())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("verify after the end: %v", err)
	}
	if images, err := s.List(""); err != nil || len(images) != 1 || images[0].Problem != "" {
		t.Errorf("nobody knows of a problem: %+v, %v", images, err)
	}
}

func FuzzRecord(f *testing.F) {
	dir := f.TempDir()
	s := open(f, dir)
	i := mustTake(f, s, "web")
	text, err := os.ReadFile(filepath.Join(dir, i.Ref(), "reconciler.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	_, body, _ := bytes.Cut(text, []byte(`"record":`))
	f.Add(bytes.TrimSuffix(body, []byte("}\n")))
	f.Add([]byte(`{"schema":1,"image":{"container":"a","id":"20261126-203315123"},"files":[{"path":"../x","size":-1}],"links":{"a":"b"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = image.Decode(text)
		// What is sealed is not harmless: whoever writes an archive can seal it.
		sealed, err := image.Seal(text)
		if err != nil {
			return
		}
		ref, err := image.Decode(sealed)
		if err == nil && (strings.Contains(ref, "..") || strings.HasPrefix(ref, "/")) {
			t.Errorf("%q is of %q", text, ref)
		}
		if err != nil && !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
