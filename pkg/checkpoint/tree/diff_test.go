package tree_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/tree"
)

// newLower makes a lower layer of shell commands.
func newLower(t testing.TB, script string) string {
	t.Helper()
	dir := t.TempDir()
	shell(t, dir, script)
	settle(t, filepath.Dir(dir))
	return dir
}

// shell runs commands in a directory.
func shell(t testing.TB, dir, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/bash", "-euc", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// diff saves what changed.
func diff(t testing.TB, merged *os.File, lower string, skip func(string) bool) (archive []byte, deleted []string) {
	t.Helper()
	var buf bytes.Buffer
	deleted, err := tree.Diff(t.Context(), &buf, merged, open(t, lower), skip)
	must(t, err)
	return buf.Bytes(), deleted
}

// names lists an archive as everybody reads it.
func names(t testing.TB, archive []byte) (all []string) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		all = append(all, h.Name)
	}
}

// again applies a difference to a fresh layer over the same lower one, and gives the overlay.
func again(t testing.TB, l layers, archive []byte, deleted []string, options ...string) *os.File {
	t.Helper()
	fresh := newLayers(t, l.lower, filepath.Dir(filepath.Dir(l.upper)))
	must(t, tree.Apply(t.Context(), open(t, fresh.upper), bytes.NewReader(archive), deleted, tree.Options{Whiteouts: true, Devices: true}))
	return fresh.mount(t, options...)
}

// What a container does to its files: only that is in the archive, and it is all there again.
func TestDiff(t *testing.T) {
	lower := newLower(t, `
mkdir -p etc/deep/er usr/bin var/log gone/below kind swap
echo a > etc/a; echo b > etc/b; echo c > etc/deep/er/c; ln etc/b etc/b2; echo x > usr/bin/x
echo f > gone/f; echo f > gone/below/f; echo dir > kind/file; mkdir kind/dir; echo f > kind/dir/f; echo s > swap/s`)
	l := newLayers(t, lower, t.TempDir())
	merged := l.mount(t)
	shell(t, procPath(merged), `
echo more >> etc/deep/er/c; rm etc/a; echo new > etc/new; ln etc/new etc/new2; echo b >> etc/b
rm -r gone; mkdir gone; echo other > gone/other
rm kind/file; mkdir kind/file; echo below > kind/file/below; rm -r kind/dir; echo file > kind/dir
rm -r swap; ln -s nowhere swap; mkfifo pipe; mknod null c 1 3; chmod 4751 etc/new; chown 7:8 pipe; chmod 1777 var
touch -d '1969-12-31 23:59:58.5 UTC' etc/new`)
	archive, deleted := diff(t, merged, lower, nil)
	want := []string{
		"./", "etc/", "etc/b", "etc/deep/", "etc/deep/er/", "etc/deep/er/c", "etc/new", "etc/new2",
		"gone/", "gone/other", "kind/", "kind/dir", "kind/file/", "kind/file/below", "null", "pipe", "swap", "var/",
	}
	if got := names(t, archive); !slices.Equal(got, want) {
		t.Errorf("saved: got %q, want %q", got, want)
	}
	if want := []string{"etc/a", "gone/below", "gone/f"}; !slices.Equal(deleted, want) {
		t.Errorf("deleted: got %q, want %q", deleted, want)
	}
	same(t, snapshot(t, procPath(again(t, l, archive, deleted))), snapshot(t, procPath(merged)))
}

// Nothing that is left out is looked at: names that somebody is told of, what is mounted from other file systems and from the same one.
func TestDiffLeavesOut(t *testing.T) {
	lower := newLower(t, `mkdir -p etc data; echo a > etc/a; echo b > etc/b; echo c > data/c`)
	l := newLayers(t, lower, t.TempDir())
	at := t.TempDir()
	must(t, unix.MoveMount(int(l.mount(t).Fd()), "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH))
	t.Cleanup(func() { must(t, unix.Unmount(at, unix.MNT_DETACH)) })
	shell(t, at, `rm etc/a; echo new > etc/new; mkdir -p mnt/same mnt/other mnt/file; echo f > mnt/f; echo hidden > mnt/other/hidden; echo g > mnt/plain`)
	must(t, unix.Mount("t", at+"/mnt/other", "tmpfs", 0, ""))
	must(t, unix.Mount(at+"/etc", at+"/mnt/same", "", unix.MS_BIND, ""))
	must(t, unix.Mount(at+"/etc/b", at+"/mnt/f", "", unix.MS_BIND, ""))
	must(t, os.WriteFile(at+"/mnt/other/f", nil, 0o600))
	archive, deleted := diff(t, open(t, at), lower, func(name string) bool { return strings.HasPrefix(name, "etc/") })
	if got, want := names(t, archive), []string{"./", "etc/", "mnt/", "mnt/file/", "mnt/plain"}; !slices.Equal(got, want) || deleted != nil {
		t.Errorf("got %q and %q deleted, want %q", got, deleted, want)
	}
}

// What the node has mounted in the rootfs is not in the lower layer.
func TestDiffSeesBelowMountsOnTheLowerLayer(t *testing.T) {
	lower := newLower(t, `mkdir -p data/below; echo c > data/c; echo d > data/below/d; mkdir data/empty`)
	l := newLayers(t, lower, t.TempDir())
	merged := l.mount(t)
	shell(t, procPath(merged), `echo more > data/below/e`)
	must(t, unix.Mount("t", lower+"/data/below", "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(lower+"/data/below", unix.MNT_DETACH)) })
	archive, deleted := diff(t, merged, lower, nil)
	if got, want := names(t, archive), []string{"./", "data/", "data/below/", "data/below/e"}; !slices.Equal(got, want) || deleted != nil {
		t.Errorf("got %q and %q deleted, want %q", got, deleted, want)
	}
}
