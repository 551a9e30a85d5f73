package tree_test

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/tree"
)

// thousands is an overlay of 10,000 files in 500 directories, three of which changed.
func thousands(b *testing.B) (layers, *os.File) {
	l := newLayers(b, newLower(b, `for d in {0..499}; do mkdir -p $((d%20))/$d; for f in {0..19}; do echo $f > $((d%20))/$d/$f; done; done`), b.TempDir())
	merged := l.mount(b)
	shell(b, procPath(merged), `echo more >> 3/3/3; echo more >> 3/403/4; echo more >> 17/17/17`)
	return l, merged
}

func BenchmarkDiff(b *testing.B) {
	l, merged := thousands(b)
	lower := open(b, l.lower)
	b.Run("three of 10000", func(b *testing.B) {
		for b.Loop() {
			_, err := tree.Diff(b.Context(), io.Discard, merged, lower, nil)
			must(b, err)
		}
	})
	b.Run("walk", func(b *testing.B) { // what it would take to look at everything
		for b.Loop() {
			must(b, filepath.WalkDir(procPath(merged)+"/", func(_ string, d fs.DirEntry, err error) error {
				if err == nil {
					_, err = d.Info()
				}
				return err
			}))
		}
	})
	b.Run("cp -a of the upper", func(b *testing.B) {
		for b.Loop() {
			to := filepath.Join(b.TempDir(), "copy")
			must(b, exec.CommandContext(b.Context(), "cp", "-a", l.upper, to).Run())
		}
	})
}

// An unchanged root is what most checkpoints find.
func BenchmarkDiffUnchanged(b *testing.B) {
	root := kerneltest.Rootfs(b)
	l := newLayers(b, root, b.TempDir())
	merged, lower := l.mount(b), open(b, root)
	for b.Loop() {
		_, err := tree.Diff(b.Context(), io.Discard, merged, lower, nil)
		must(b, err)
	}
}

// New files, in one file and in many, against cp.
func BenchmarkData(b *testing.B) {
	for _, size := range []int{100 << 20, 16 << 10} {
		l := newLayers(b, newLower(b, "mkdir dir"), b.TempDir())
		merged := l.mount(b)
		for i := range (100 << 20) / size {
			must(b, os.WriteFile(fmt.Sprintf("%s/dir/%d", procPath(merged), i), make([]byte, size), 0o600))
		}
		lower := open(b, l.lower)
		for name, dir := range map[string]string{"disk": b.TempDir(), "memory": memory(b)} {
			path := filepath.Join(dir, "tar")
			b.Run(fmt.Sprintf("%d bytes/diff to %s", size, name), func(b *testing.B) {
				b.SetBytes(100 << 20)
				for b.Loop() {
					_ = os.Remove(path)
					f, err := os.Create(path)
					must(b, err)
					_, err = tree.Diff(b.Context(), f, merged, lower, nil)
					must(b, err)
					f.Close()
				}
			})
			b.Run(fmt.Sprintf("%d bytes/apply from %s", size, name), func(b *testing.B) {
				b.SetBytes(100 << 20)
				for b.Loop() {
					to := filepath.Join(dir, "tree")
					must(b, os.Mkdir(to, 0o700))
					f, err := os.Open(path)
					must(b, err)
					must(b, tree.Apply(b.Context(), open(b, to), f, nil, tree.Options{Whiteouts: true}))
					f.Close()
					b.StopTimer()
					must(b, os.RemoveAll(to))
					b.StartTimer()
				}
			})
			b.Run(fmt.Sprintf("%d bytes/cp to %s", size, name), func(b *testing.B) {
				b.SetBytes(100 << 20)
				for b.Loop() {
					to := filepath.Join(dir, "copy")
					must(b, exec.CommandContext(b.Context(), "cp", "-a", "--reflink=never", l.upper, to).Run())
					b.StopTimer()
					must(b, os.RemoveAll(to))
					b.StartTimer()
				}
			})
		}
	}
}

func memory(b *testing.B) string {
	dir := b.TempDir()
	must(b, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1g"))
	b.Cleanup(func() { must(b, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}
