package source_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
)

// A revision is the commit that a path leads to, or what a file says; the hash is of the contents alone.
func TestRevision(t *testing.T) {
	f := open(t)
	f.put("web.yaml", "web")
	bare := f.shows("web")
	if bare.Revision != "" || bare.Hash == "" {
		t.Errorf("without any: revision %q, hash %q", bare.Revision, bare.Hash)
	}
	for _, c := range []struct{ text, want string }{
		{"v1.2.3\n", "v1.2.3"},
		{"  0123abc  \nby hand\n", "0123abc"},
		{"", ""},
		{"two words\n", ""},
		{"\x1b[31mred\n", ""},
		{strings.Repeat("x", 300), strings.Repeat("x", 200)},
	} {
		f.must(os.WriteFile(f.at(".revision"), []byte(c.text), 0o644))
		if s := f.shows("web"); s.Revision != c.want || s.Hash != bare.Hash {
			t.Errorf(".revision %q: revision %q, want %q; hash %q, want %q", c.text, s.Revision, c.want, s.Hash, bare.Hash)
		}
	}
	f.must(os.Chmod(f.at(".revision"), 0o666))
	if s := f.shows("web"); s.Revision != "" {
		t.Errorf("what anybody can write is believed: %q", s.Revision)
	}
	f.must(os.Remove(f.at(".revision")))
	f.must(os.Symlink("/etc/hostname", f.at(".revision")))
	if s := f.shows("web"); s.Revision != "" {
		t.Errorf("a file outside is read: %q", s.Revision)
	}
}

// git-sync swaps a link to a directory with the name of a commit; manifests may be in a directory of the repository.
func TestRevisionOfGitSync(t *testing.T) {
	f := open(t)
	base := filepath.Dir(f.path)
	link := filepath.Join(base, "current")
	for _, sub := range []string{"", "deploy/node"} {
		f.dir = f.source(filepath.Join(link, sub))
		for _, commit := range []string{strings.Repeat("0a", 20), strings.Repeat("1b", 32)} {
			tree := filepath.Join(base, ".worktrees", commit)
			f.path = filepath.Join(tree, sub)
			f.must(os.MkdirAll(f.path, 0o755))
			f.put("web.yaml", "web")
			f.must(os.Symlink(tree, link+".new"))
			f.must(os.Rename(link+".new", link))
			if s := f.shows("web"); s.Revision != commit {
				t.Errorf("%q: revision %q, want %q", sub, s.Revision, commit)
			}
			f.must(os.RemoveAll(tree))
		}
	}
}

// Without hints nothing is sent, and all the same everything is seen.
func TestNeverWatched(t *testing.T) {
	f := open(t)
	dir, err := source.New(f.path, source.Options{Watch: source.WatchNever})
	f.must(err)
	f.dir = dir
	hints := dir.Hints(t.Context())
	f.shows()
	f.put("web.yaml", "web")
	f.shows("web")
	f.put("web.yaml", "db")
	f.shows("db")
	select {
	case <-hints:
		t.Error("a hint though nobody watches")
	case <-time.After(50 * time.Millisecond):
	}
}

func TestRemote(t *testing.T) {
	for number, want := range map[uint32]string{0x6969: "nfs", 0x65735546: "fuse", 0xfe534d42: "smb2", 0xef53: "", 0x01021994: "", 0x9123683e: "", 0x794c7630: ""} {
		if got := source.Remote(number); got != want {
			t.Errorf("%#x: %q, want %q", number, got, want)
		}
	}
}
