package source_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const manifest = `apiVersion: reconciler/v1alpha1
kind: Container
metadata: {name: %s}
spec: {rootfs: {path: /srv}, command: [/bin/true]}
`

// folder is a directory of manifests in a test.
type folder struct {
	testing.TB
	path string
	dir  *source.Dir
}

func open(t testing.TB) *folder {
	t.Helper()
	f := &folder{TB: t, path: filepath.Join(t.TempDir(), "m")}
	f.must(os.Chmod(filepath.Dir(f.path), 0o755)) // whatever the umask
	f.must(os.Mkdir(f.path, 0o755))
	f.dir = f.source(f.path)
	return f
}

func (f *folder) source(path string, owners ...uint32) *source.Dir {
	f.Helper()
	dir, err := source.New(path, source.Options{Owners: owners})
	f.must(err)
	return dir
}

func (f *folder) must(errs ...error) {
	f.Helper()
	if err := errors.Join(errs...); err != nil {
		f.Fatal(err)
	}
}

func (f *folder) at(name string) string { return filepath.Join(f.path, name) }

// put renames a manifest into place.
func (f *folder) put(name, container string) {
	f.Helper()
	f.must(os.WriteFile(f.at(".new"), fmt.Appendf(nil, manifest, container), 0o644))
	f.must(os.Rename(f.at(".new"), f.at(name)))
}

func (f *folder) scan() reconcile.Snapshot {
	f.Helper()
	return f.dir.Scan(f.Context(), false)
}

// shows scans until the snapshot is as said: names of containers, and for files that cannot be read a part of why.
func (f *folder) shows(want ...string) reconcile.Snapshot {
	f.Helper()
	s := f.scan()
	if got := contents(s); !slices.EqualFunc(got, want, strings.Contains) {
		f.Fatalf("got %q, want %q", got, want)
	}
	return s
}

func contents(s reconcile.Snapshot) (list []string) {
	if !s.OK() {
		return []string{s.Err.Error()}
	}
	for _, file := range s.Files {
		for _, d := range file.Documents {
			list = append(list, d.Container.Metadata.Name)
		}
		for _, p := range file.Problems {
			list = append(list, p.Error())
		}
	}
	return list
}

func TestReads(t *testing.T) {
	f := open(t)
	f.shows()
	f.put("b.yaml", "web")
	f.put("a.json", "db")
	f.put("c.yml", "job")
	first := f.shows("db", "web", "job")
	second := f.shows("db", "web", "job")
	if !slices.Equal(first.Files, second.Files) || first.Hash != second.Hash {
		t.Error("unchanged files are other objects")
	}
	f.put("b.yaml", "web2")
	third := f.shows("db", "web2", "job")
	if third.Files[0] != first.Files[0] || third.Files[1] == first.Files[1] || third.Hash == first.Hash {
		t.Error("a change was not told from no change")
	}
	f.must(os.Remove(f.at("b.yaml")))
	f.shows("db", "job")
}

func TestIgnores(t *testing.T) {
	f := open(t)
	for _, name := range []string{
		".hidden.yaml", "web.yaml~", "web.yaml.bak", ".web.yaml.swp", "#web.yaml#", "web.yaml.tmp", "README.md", "web", "web.YAML.old", ".#web.yaml", "4913",
	} {
		f.must(os.WriteFile(f.at(name), []byte("{"), 0o644))
	}
	f.must(os.Mkdir(f.at("folder"), 0o755))
	f.shows()
}

// What cannot be read, or was written by somebody else, is told and takes nothing else along.
func TestRefuses(t *testing.T) {
	f := open(t)
	f.put("good.yaml", "web")
	for name, bad := range map[string]struct {
		do  func(path string) error
		why string
	}{
		"a fifo":            {func(path string) error { return unix.Mkfifo(path, 0o644) }, "no regular file"},
		"a folder":          {func(path string) error { return os.Mkdir(path, 0o755) }, "no regular file"},
		"a socket":          {func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o644, 0) }, "no such device or address"},
		"a link out":        {func(path string) error { return os.Symlink("/etc/passwd", path) }, "leads out of the directory"},
		"a link up":         {func(path string) error { return os.Symlink("../../x", path) }, "leads out of the directory"},
		"a link to nothing": {func(path string) error { return os.Symlink("nothing", path) }, "link to nothing"},
		"a loop":            {func(path string) error { return os.Symlink(filepath.Base(path), path) }, "too many levels"},
		"a magic link":      {func(path string) error { return os.Symlink("/proc/self/fd/0", path) }, "leads out of the directory"},
		"others may write":  {func(path string) error { return write(path, 0o646, 0) }, "can be written by others, mode 0646"},
		"a group may write": {func(path string) error { return write(path, 0o664, 0) }, "can be written by others"},
		"somebody else's":   {func(path string) error { return write(path, 0o644, 12345) }, "belongs to user 12345"},
		"huge":              {func(path string) error { return errors.Join(write(path, 0o644, 0), os.Truncate(path, 1<<40)) }, "more than 1048576"},
		"empty":             {func(path string) error { return os.WriteFile(path, nil, 0o644) }, "no document"},
	} {
		t.Run(name, func(t *testing.T) {
			f.TB = t
			path := f.at("x.yaml")
			defer os.RemoveAll(path)
			f.must(bad.do(path))
			first := f.shows("web", bad.why)
			if second := f.shows("web", bad.why); !slices.Equal(first.Files, second.Files) {
				t.Error("the same problem is another object")
			}
		})
	}
}

func write(path string, mode os.FileMode, owner int) error {
	return errors.Join(os.WriteFile(path, fmt.Appendf(nil, manifest, "x"), 0o600), os.Chmod(path, mode), os.Chown(path, owner, 0))
}

func TestManifestOwner(t *testing.T) {
	f := open(t)
	f.must(write(f.at("x.yaml"), 0o644, 12345))
	f.dir = f.source(f.path, 12345)
	f.shows("x")
	f.must(os.Chown(f.path, 12345, 0))
	f.shows("x")
	f.dir = f.source(f.path)
	f.shows("the directory belongs to user 12345")
	f.must(os.Chown(f.path, 0, 0))
	f.must(os.Chmod(f.path, 0o777))
	f.shows("the directory can be written by others")
}

// Whoever can rename on the way to the manifests, or leads it by a link, is as good as their writer. The error names the place and what helps.
func TestTrustsTheWay(t *testing.T) {
	const stranger = 12345
	for name, c := range map[string]struct {
		do   func(base string) error
		want string // with BASE for the directory that holds the directory
	}{
		"as it should be": {func(string) error { return nil }, "web"},
		"others may rename above": {
			func(base string) error { return os.Chmod(base, 0o757) },
			"BASE can be written by others, mode 0757: permission denied\nhint: chmod go-w BASE",
		},
		"a group may rename above": {func(base string) error { return os.Chmod(base, 0o775) }, "hint: chmod go-w BASE"},
		"sticky above":             {func(base string) error { return os.Chmod(base, 0o777|os.ModeSticky) }, "web"},
		"a stranger's above": {
			func(base string) error { return os.Chown(base, stranger, 0) },
			"BASE belongs to user 12345, who is not trusted: permission denied\nhint: chown root BASE, or trust its owner with --manifest-owner",
		},
		"a stranger's sticky above": {func(base string) error {
			return errors.Join(os.Chmod(base, 0o777|os.ModeSticky), os.Chown(base, stranger, 0))
		}, "BASE belongs to user 12345"},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			base := filepath.Dir(f.path)
			f.put("web.yaml", "web")
			f.must(c.do(base))
			f.shows(strings.ReplaceAll(c.want, "BASE", base))
		})
	}
}

func TestTrustsLinks(t *testing.T) {
	f := open(t)
	f.put("web.yaml", "web")
	base := filepath.Dir(f.path)
	other := filepath.Join(base, "other")
	link := filepath.Join(other, "current")
	f.must(os.Mkdir(other, 0o755))
	f.must(os.Symlink(f.path, link))
	f.dir = f.source(link)
	f.shows("web")
	f.must(os.Chmod(other, 0o777))
	f.shows("hint: chmod go-w " + other)
	f.must(os.Chmod(other, 0o777|os.ModeSticky))
	f.shows("web")
	f.must(os.Lchown(link, 12345, 0))
	f.shows(link + " belongs to user 12345")
	f.dir = f.source(link, 12345)
	f.shows("web")
}

// What stands behind ..data is held to the same as the directory itself.
func TestTrustsData(t *testing.T) {
	f := open(t)
	version := f.at("..1")
	f.must(os.Mkdir(version, 0o755))
	f.must(write(filepath.Join(version, "x.yaml"), 0o644, 0))
	f.must(os.Symlink("..1", f.at("..data")))
	f.must(os.Symlink("..data/x.yaml", f.at("x.yaml")))
	f.must(os.Chmod(version, 0o777))
	f.shows("hint: chmod go-w " + version)
	f.must(errors.Join(os.Chmod(version, 0o755), os.Chown(version, 12345, 0)))
	f.shows("hint: chown root " + version)
	f.must(os.Chown(version, 0, 0))
	f.shows("x")
}

// A file that somebody has open for writing counts when it is the same after a while; closed, at once.
func TestOpenWriter(t *testing.T) {
	f := open(t)
	f.put("web.yaml", "web")
	f.shows("web")
	w, err := os.OpenFile(f.at("web.yaml"), os.O_WRONLY|os.O_TRUNC, 0)
	f.must(err)
	text := fmt.Sprintf(manifest, "new")
	_, err = w.WriteString(text[:60])
	f.must(err)
	if s := f.shows("web"); !s.Unsettled {
		t.Error("half a file is settled")
	}
	_, err = w.WriteString(text[60:])
	f.must(err)
	f.shows("web")
	f.must(w.Close())
	if s := f.shows("new"); s.Unsettled {
		t.Error("a whole file is not settled")
	}
	w, err = os.OpenFile(f.at("other.yaml"), os.O_WRONLY|os.O_CREATE, 0o644)
	f.must(err)
	defer w.Close()
	_, err = w.WriteString(fmt.Sprintf(manifest, "other"))
	f.must(err)
	f.shows("it is being written", "new")
	time.Sleep(1100 * time.Millisecond)
	f.shows("other", "new")
}

// A file under somebody's write lease cannot be opened without waiting: it holds up no scan, and counts when the lease is gone.
func TestWriteLease(t *testing.T) {
	f := open(t)
	f.put("other.yaml", "other")
	f.put("web.yaml", "web")
	f.shows("other", "web")
	f.put("web.yaml", "new")
	w, err := os.OpenFile(f.at("web.yaml"), os.O_RDWR, 0)
	f.must(err)
	defer w.Close()
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("no write lease on %s: %v", f.path, err)
	}
	f.must(write(f.at("late.yaml"), 0o644, 0))
	for range 2 {
		if s := f.shows("x", "other", "web"); !s.Unsettled {
			t.Error("a leased file is settled")
		}
	}
	fresh := f.source(f.path).Scan(t.Context(), false)
	if got := contents(fresh); !fresh.Unsettled || len(got) != 3 || !strings.Contains(got[2], "it is being written") {
		t.Errorf("seen for the first time: %q", got)
	}
	_, err = unix.FcntlInt(w.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	f.must(err)
	f.must(w.Close())
	if s := f.shows("x", "other", "new"); s.Unsettled {
		t.Error("a file without a lease is not settled")
	}
}

// Two changes within one tick of the file system's clock are both seen.
func TestSameTime(t *testing.T) {
	f := open(t)
	for i := range 200 {
		name := fmt.Sprintf("c%03d", i)
		f.must(os.WriteFile(f.at("web.yaml"), fmt.Appendf(nil, manifest, name), 0o644))
		f.shows(name)
	}
}

// The whole directory is swapped by its link, as git-sync does, while it is read: every snapshot is of one tree.
func TestSwappedDirectory(t *testing.T) {
	f := open(t)
	base := filepath.Dir(f.path)
	link := filepath.Join(base, "current")
	for _, tree := range []string{"x", "y"} {
		f.path = filepath.Join(base, tree)
		f.must(os.Mkdir(f.path, 0o755))
		for i := range 20 {
			f.put(fmt.Sprintf("%02d.yaml", i), fmt.Sprintf("%s%02d", tree, i))
		}
	}
	f.must(os.Symlink("x", link))
	f.dir = f.source(link)
	stop, done := make(chan bool), make(chan bool)
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Symlink([]string{"x", "y"}[i%2], link+".new")
			_ = os.Rename(link+".new", link)
		}
	}()
	seen := map[string]int{}
	for range 300 {
		s := f.scan()
		if !s.OK() {
			seen["again"]++
			continue
		}
		names := contents(s)
		tree := names[0][:1]
		seen[tree]++
		if len(names) != 20 || slices.ContainsFunc(names, func(name string) bool { return name[:1] != tree }) {
			t.Fatalf("a mixture: %q", names)
		}
	}
	close(stop)
	<-done
	t.Logf("seen %v", seen)
}

// ..data is swapped inside, as projected volumes are.
func TestSwappedData(t *testing.T) {
	f := open(t)
	for _, version := range []string{"..1", "..2"} {
		f.must(os.Mkdir(f.at(version), 0o755))
		f.must(os.WriteFile(f.at(version+"/web.yaml"), fmt.Appendf(nil, manifest, "web"+version[2:]), 0o644))
	}
	f.must(os.Symlink("..1", f.at("..data")))
	f.must(os.Symlink("..data/web.yaml", f.at("web.yaml")))
	f.shows("web1")
	f.must(os.Symlink("..2", f.at("..data.new")))
	f.must(os.Rename(f.at("..data.new"), f.at("..data")))
	f.shows("web2")
}

// A directory that is missing, or empty because it is another one, is not a directory without manifests.
func TestDirectoryGone(t *testing.T) {
	f := open(t)
	f.put("web.yaml", "web")
	f.shows("web")
	f.must(os.RemoveAll(f.path))
	if s := f.shows("no such file or directory"); !errors.Is(s.Err, fs.ErrNotExist) {
		t.Errorf("got %v", s.Err)
	}
	f.must(os.Mkdir(f.path, 0o755))
	f.shows("is another directory than before and empty")
	f.shows("is another directory than before and empty")
	f.put("web.yaml", "web")
	f.shows("web")
	f.must(os.Remove(f.at("web.yaml")))
	f.shows()

	f.put("web.yaml", "web")
	f.shows("web")
	defer unix.Unmount(f.path, unix.MNT_DETACH) // does nothing when the test has done it
	f.must(unix.Mount("tmpfs", f.path, "tmpfs", 0, "size=64k,mode=755"))
	f.shows("is another directory than before and empty")
	f.must(unix.Unmount(f.path, 0))
	f.shows("web")
	f.must(os.WriteFile(filepath.Join(filepath.Dir(f.path), "file"), nil, 0o644))
	f.dir = f.source(filepath.Join(filepath.Dir(f.path), "file"))
	f.shows("not a directory")
}

// hinted waits for a hint.
func hinted(t *testing.T, hints <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-hints:
	case <-time.After(10 * time.Second):
		t.Fatalf("no hint of %s", what)
	}
}

func TestHints(t *testing.T) {
	f := open(t)
	hints := f.dir.Hints(t.Context())
	f.shows()
	f.put("web.yaml", "web")
	hinted(t, hints, "a new manifest")
	f.must(os.RemoveAll(f.path))
	hinted(t, hints, "the directory's end")
	f.scan()
	f.must(os.Mkdir(f.path, 0o755))
	hinted(t, hints, "a new directory")
	f.scan()
	f.put("web.yaml", "web")
	hinted(t, hints, "a manifest in the new directory")

	base := filepath.Dir(f.path)
	f.must(os.Mkdir(filepath.Join(base, "x"), 0o755))
	f.must(os.Symlink("m", filepath.Join(base, "current")))
	f.dir = f.source(filepath.Join(base, "current"))
	hints = f.dir.Hints(t.Context())
	f.scan()
	f.must(os.Symlink("x", filepath.Join(base, "new")))
	f.must(os.Rename(filepath.Join(base, "new"), filepath.Join(base, "current")))
	hinted(t, hints, "a swap")
	f.scan()
	f.path = filepath.Join(base, "x")
	f.put("web.yaml", "web")
	hinted(t, hints, "a manifest in the swapped directory")
}

// 10,000 manifests, of which nothing or one changes.
func BenchmarkScan(b *testing.B) {
	f := open(b)
	for i := range 10_000 {
		f.must(os.WriteFile(f.at(fmt.Sprintf("c%05d.yaml", i)), fmt.Appendf(nil, manifest, fmt.Sprintf("c%05d", i)), 0o644))
	}
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			f.dir = f.source(f.path)
			f.scan()
		}
	})
	time.Sleep(100 * time.Millisecond)
	f.scan()
	b.Run("unchanged", func(b *testing.B) {
		for b.Loop() {
			f.scan()
		}
	})
	b.Run("reread", func(b *testing.B) {
		for b.Loop() {
			f.dir.Scan(b.Context(), true)
		}
	})
}

// A directory that is caught while it is removed, empty but still there, was not emptied: what comes in its place is suspect all the same.
func TestDirectoryGoesWhileRead(t *testing.T) {
	f := open(t)
	f.put("web.yaml", "web")
	f.shows("web")
	f.must(os.Remove(f.at("web.yaml")))
	f.shows()
	f.must(os.Remove(f.path), os.Mkdir(f.path, 0o755))
	f.shows("is another directory than before and empty")
	f.put("web.yaml", "web")
	f.shows("web")
	f.must(os.Remove(f.at("web.yaml")))
	f.shows()
	time.Sleep(reconcile.Settle + 10*time.Millisecond)
	f.shows()
	f.must(os.Remove(f.path), os.Mkdir(f.path, 0o755))
	f.shows() // it was empty for long
}

// What a policy does not allow is refused as a broken edit is: the last good manifest stays in force, and the reason is told.
func TestPolicyDenied(t *testing.T) {
	f := open(t)
	policy, problems := spec.DecodePolicy("p.yaml", []byte("apiVersion: reconciler/v1alpha1\nkind: NodePolicy\nspec: {rootfs: {allowedPaths: [/srv]}}\n"))
	f.must(problems.Err())
	dir, err := source.New(f.path, source.Options{Decode: policy.Decode})
	f.must(err)
	f.dir = dir
	f.put("web.yaml", "web")
	first := reconcile.Admit(reconcile.Request{Snapshots: []reconcile.Snapshot{f.shows("web")}})
	f.must(os.WriteFile(f.at("web.yaml"), []byte(strings.Replace(fmt.Sprintf(manifest, "web"), "/srv", "/etc", 1)), 0o644))
	s := f.shows("web.yaml:4:23: spec.rootfs.path: /etc is not in /srv")
	second := reconcile.Admit(reconcile.Request{Snapshots: []reconcile.Snapshot{s}, Incumbents: first.Desired})
	if d := second.Desired["web"]; d.Accepted.Reason != reconcile.ReasonPolicyDenied || d.Accepted.Status != spec.False || d.Container.Spec.Rootfs.Path != "/srv" {
		t.Errorf("%+v", d)
	}
}
