package tree_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/tree"
)

func save(t testing.TB, dir string, skip func(string) bool) []byte {
	t.Helper()
	var buf bytes.Buffer
	must(t, tree.Save(t.Context(), &buf, open(t, dir), skip))
	return buf.Bytes()
}

// A whole tree comes back into an empty one, and into one in which something else is.
func TestAnyTreeComesBack(t *testing.T) {
	for range 8 {
		seed := uint64(time.Now().UnixNano())
		from, to := inMemory(t), inMemory(t)
		v := &vandal{Rand: rand.New(rand.NewPCG(seed, 0)), top: from}
		v.run(200)
		other := &vandal{Rand: v.Rand, top: to}
		other.run(100)
		archive := save(t, from, nil)
		must(t, apply(t, to, archive, nil, tree.Options{Devices: true, Clear: true}))
		same(t, snapshot(t, to), snapshot(t, from))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// GNU tar and Go's reader see the same: every name, kind and byte, holes and attributes too.
func TestArchivesArePlainTars(t *testing.T) {
	from, to := inMemory(t), inMemory(t)
	v := &vandal{Rand: rand.New(rand.NewPCG(1, 1)), top: from}
	v.run(400)
	long := filepath.Join(from, strings.Repeat("n", 250))
	must(t, os.Mkdir(long, 0o755))
	v.sparse(long + "/sparse")
	must(t, os.Truncate(long+"/sparse", 64<<20))
	archive := save(t, from, nil)
	cmd := exec.CommandContext(t.Context(), "tar", "-x", "-p", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--same-owner", "--delay-directory-restore", "--warning=no-timestamp", "-f", "-", "-C", to)
	cmd.Stdin = bytes.NewReader(archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	same(t, withoutACLs(snapshot(t, to)), withoutACLs(snapshot(t, from)))
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		must(t, err)
		if want, err := os.ReadFile(filepath.Join(from, h.Name)); err != nil || !bytes.Equal(data, want) {
			t.Errorf("%q differs: %v", h.Name, err)
		}
	}
}

// withoutACLs leaves out what GNU tar has in records of its own.
func withoutACLs(lines []string) (plain []string) {
	acl := regexp.MustCompile(` "system\.posix_acl_[a-z]+"=[0-9a-f]+`)
	for _, line := range lines {
		plain = append(plain, acl.ReplaceAllString(line, ""))
	}
	return plain
}

// Holes take no room in an archive, and are holes again.
func TestHoles(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for name, at := range map[string][]int64{"none": nil, "begin": {0}, "middle": {1 << 32}, "end": {1<<40 - 4096}, "some": {4096, 1 << 20, 1 << 33}} {
		f, err := os.Create(filepath.Join(from, name))
		must(t, err)
		must(t, f.Truncate(1<<40))
		for _, n := range at {
			_, err := f.WriteAt(bytes.Repeat([]byte{7}, 4096), n)
			must(t, err)
		}
		must(t, f.Close())
	}
	archive := save(t, from, nil)
	if len(archive) > 64<<10 {
		t.Errorf("the archive has %d bytes", len(archive))
	}
	must(t, apply(t, to, archive, nil, tree.Options{Bytes: 64 << 10}))
	for _, name := range []string{"none", "begin", "middle", "end", "some"} {
		var got, want unix.Stat_t
		must(t, unix.Stat(filepath.Join(from, name), &want))
		must(t, unix.Stat(filepath.Join(to, name), &got))
		if got.Size != want.Size || got.Blocks > want.Blocks+8 {
			t.Errorf("%s: %d bytes in %d blocks, want %d in %d", name, got.Size, got.Blocks, want.Size, want.Blocks)
		}
	}
	var page [4096]byte
	f, err := os.Open(filepath.Join(to, "some"))
	must(t, err)
	defer f.Close()
	if _, err := f.ReadAt(page[:], 1<<33); err != nil || page != [4096]byte(bytes.Repeat([]byte{7}, 4096)) {
		t.Errorf("the data is not where it was: %v", err)
	}
}

// A socket is its process's to bind again: it is left out, and what it hides is deleted, because criu binds over sockets alone.
func TestSockets(t *testing.T) {
	lower := newLower(t, `echo file > hidden; mkdir d; echo f > d/f`)
	l := newLayers(t, lower, t.TempDir())
	merged := l.mount(t)
	shell(t, procPath(merged), "rm -r hidden d")
	for _, name := range []string{"hidden", "new", "d"} {
		s, err := net.Listen("unix", filepath.Join(procPath(merged), name))
		must(t, err)
		t.Cleanup(func() { s.Close() })
	}
	archive, deleted := diff(t, merged, lower, nil)
	if got := names(t, archive); !slices.Equal(got, []string{"./"}) || !slices.Equal(deleted, []string{"d", "hidden"}) {
		t.Errorf("saved %q, deleted %q", got, deleted)
	}
	same(t, snapshot(t, procPath(again(t, l, archive, deleted))), snapshot(t, procPath(merged)))
}

// What cannot be saved is an error that names it, and never a wait.
func TestSaveRefuses(t *testing.T) {
	leased := t.TempDir()
	must(t, os.WriteFile(leased+"/f", []byte("x"), 0o600))
	f, err := os.OpenFile(leased+"/f", os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	must(t, err)
	if err := tree.Save(t.Context(), io.Discard, open(t, leased), nil); !errors.Is(err, unix.EAGAIN) || !strings.Contains(err.Error(), `"f"`) {
		t.Errorf("a lease: %v", err)
	}
	deep := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(deep, strings.Repeat("d/", 600)), 0o755))
	if err := tree.Save(t.Context(), io.Discard, open(t, deep), nil); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a deep tree: %v", err)
	}
	shrinking := t.TempDir()
	must(t, os.WriteFile(shrinking+"/f", make([]byte, 8<<20), 0o600))
	shrink := writerFunc(func(p []byte) (int, error) { return len(p), os.Truncate(shrinking+"/f", 1<<20) })
	if err := tree.Save(t.Context(), shrink, open(t, shrinking), nil); err == nil || !strings.Contains(err.Error(), `"f"`) {
		t.Errorf("a file that becomes shorter: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Into a file the kernel copies, also where it cannot (one that is open to append), and what is skipped is not there.
func TestSaveToFile(t *testing.T) {
	from := t.TempDir()
	data := bytes.Repeat([]byte("0123456789abcde"), 1<<20)
	must(t, os.WriteFile(from+"/large", data, 0o600))
	must(t, os.WriteFile(from+"/skipped", data, 0o600))
	for _, flag := range []int{0, os.O_APPEND} {
		path := filepath.Join(t.TempDir(), "tar")
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|flag, 0o600)
		must(t, err)
		must(t, tree.Save(t.Context(), f, open(t, from), func(name string) bool { return name == "skipped" }))
		must(t, f.Close())
		archive, err := os.ReadFile(path)
		must(t, err)
		to := t.TempDir()
		must(t, apply(t, to, archive, nil, tree.Options{}))
		if got, err := os.ReadFile(to + "/large"); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d: the data differs: %v", flag, err)
		}
		if _, err := os.Lstat(to + "/skipped"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d: skipped is there: %v", flag, err)
		}
	}
}

// Deleted names keep all their bytes through JSON, and those of valid names are plain JSON.
func TestDeletedNames(t *testing.T) {
	names := []string{"plain", "a/b c", "é😀\uFFFD", "tab\t\"quote\"\\", "bad\xff\xc3", "\xed\xa0\x80", "control\x01\x7f", ""}
	for _, list := range [][]string{names, {}} {
		got, err := tree.DecodeDeleted(tree.EncodeDeleted(list))
		if err != nil || !slices.Equal(got, list) {
			t.Errorf("got %q, %v; want %q", got, err, list)
		}
	}
	got, err := tree.DecodeDeleted([]byte(`["\u00e9\n\/","\ud83d\ude00","\ud83dx"]`))
	if err != nil || !slices.Equal(got, []string{"é\n/", "😀", "\uFFFDx"}) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, text := range []string{"", "{}", `[1]`, `["a"`, `[null]`, `["a"] ["b"]`} {
		if _, err := tree.DecodeDeleted([]byte(text)); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
