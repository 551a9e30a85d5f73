package linux_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// rounds is how often a race is run: enough for CI, or a campaign in a soak run.
func rounds(few int) int {
	if os.Getenv("RECONCILER_SOAK") != "" {
		return 50 * few
	}
	return few
}

// swap is a pair of names that are exchanged in a directory, which is held open: where they are on the node cannot be led elsewhere.
type swap struct {
	dir  *os.File
	a, b string
}

// swaps are pairs in one directory.
func swaps(t testing.TB, dir string, names ...string) (pairs []swap) {
	t.Helper()
	f, err := os.Open(dir)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	for pair := range slices.Chunk(names, 2) {
		pairs = append(pairs, swap{f, pair[0], pair[1]})
	}
	return pairs
}

// swapping exchanges names on the node until it is stopped; then everything is where it was.
func swapping(pairs ...swap) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var swapper sync.WaitGroup
	exchange := func() {
		for _, p := range pairs {
			_ = unix.Renameat2(int(p.dir.Fd()), p.a, int(p.dir.Fd()), p.b, unix.RENAME_EXCHANGE)
		}
	}
	swapper.Go(func() {
		for ctx.Err() == nil {
			exchange()
			exchange()
		}
	})
	return func() { cancel(); swapper.Wait() }
}

// swappedDestination starts containers with mounts below a volume in which another container swaps a directory for a link.
func swappedDestination(t *testing.T, n *node, canary string) {
	volume := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(volume, "x", "sub"), 0o755))
	for _, target := range []string{canary, "../../../../../../../.." + canary, "/proc/self/root" + canary, "/proc/1/cwd"} {
		spoil(t, filepath.Join(volume, "evil"), "->"+target)
		must(t, os.MkdirAll(filepath.Join(volume, "x", "sub"), 0o755))
		other := n.attacker(t, "swapper", "swap", "/vol/x", "/vol/evil")
		other.Spec.Mounts = append(other.Spec.Mounts, spec.Mount{Type: spec.MountBind, Source: volume, Destination: "/vol"})
		n.run(t, other, 1)
		n.hear(t, "swapper", "up")
		started := 0
		for range rounds(25) {
			_, err := n.tries(t, `echo x > /vol/x/sub/file; echo x > /vol/x/new/file`, func(s *spec.ContainerSpec) {
				s.Mounts = []spec.Mount{
					{Type: spec.MountBind, Source: volume, Destination: "/vol"},
					{Type: spec.MountTmpfs, Destination: "/vol/x/sub"},
					{Type: spec.MountBind, Source: "/dev/zero", Destination: "/vol/x/new/zero"},
				}
				s.Security.MaskedPaths = &[]string{"/vol/x/sub", "/vol/x/file"}
				s.WorkingDir = "/vol"
			})
			if err == nil {
				started++
			}
		}
		must(t, n.Destroy(t.Context(), "swapper", 1, false))
		t.Logf("swapped with %s: %d started", target, started)
		if info, err := os.Lstat(filepath.Join(volume, "x")); err != nil || info.Mode().Type() == fs.ModeSymlink { // put it right for the next one
			must(t, errors.Join(os.RemoveAll(filepath.Join(volume, "x")), os.RemoveAll(filepath.Join(volume, "evil"))))
		}
	}
}

// swappedConsole starts containers with a terminal on a rootfs whose /dev is its own, and in which /dev/pts, the first terminal, /dev/console
// and /dev/null are swapped for links meanwhile.
func swappedConsole(t *testing.T, n *node, canary string) {
	dev := n.path("rootfs", "dev")
	must(t, os.MkdirAll(filepath.Join(dev, "pts"), 0o755))
	pts := swaps(t, filepath.Join(dev, "pts"), "0", "0-evil")
	all := append(swaps(t, dev, "console", "console-evil", "null", "null-evil", "pts", "pts-evil"), pts...)
	for _, target := range []string{canary + "/file", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "../../../../../../.." + canary + "/null"} {
		for _, name := range []string{"pts/0", "console", "null"} {
			spoil(t, filepath.Join(dev, name), "a file of the image")
			spoil(t, filepath.Join(dev, name+"-evil"), "->"+target)
		}
		spoil(t, filepath.Join(dev, "pts-evil"), "->"+canary)
		stop := swapping(all...)
		started := 0
		for range rounds(12) {
			for _, mounted := range []bool{false, true} {
				said, err := n.tries(t, `stat -L -c %t:%T /proc/keys; stat -L -c %t /dev/console; echo x > /dev/console; echo x > /dev/null`, func(s *spec.ContainerSpec) {
					bare(s)
					s.TTY = true
					s.Security.MaskedPaths = &[]string{"/proc/keys"}
					s.Mounts = slices.DeleteFunc(s.Mounts, func(m spec.Mount) bool {
						return m.Destination == "/dev" || m.Destination == "/dev/pts" && !mounted
					})
				})
				if err != nil {
					continue
				}
				started++
				if !strings.HasPrefix(said, "1:3\r\n") {
					t.Errorf("a masked file is not the null device: %q", said)
				}
			}
		}
		stop()
		t.Logf("swapped with %s: %d of %d started", target, started, 2*rounds(12))
	}
}

// watchedExecs are further processes of a container whose process 1 is root and does nothing but look at them, with and without a terminal.
func watchedExecs(t *testing.T, n *node, _ string) {
	n.run(t, n.attacker(t, "web", "watch"), 1)
	n.hear(t, "web", "up")
	for i := range rounds(150) {
		n.inside(t, "web", spec.Exec{Command: []string{"/bin/true"}, TTY: i%3 == 0, User: []string{"", "web"}[i%2]}, "")
	}
	if said := n.output(t, "web"); strings.Contains(said, "LEAK") {
		t.Error(said)
	}
}

// grep gives the lines of Go files, but for tests, that match.
func grep(t *testing.T, dir string, pattern *regexp.Regexp) (hits []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for i, line := range strings.Split(string(text), "\n") {
			if pattern.MatchString(line) {
				hits = append(hits, fmt.Sprintf("%s:%d: %s", path, i+1, line))
			}
		}
		return err
	}))
	return hits
}
