package tree_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a directory for the test's time.
func open(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// procPath is a path that names what a descriptor is of, also when it is mounted nowhere.
func procPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// layers are the directories of an overlay.
type layers struct{ lower, upper, work string }

// newLayers makes the upper directories of an overlay on the file system of a directory.
func newLayers(t testing.TB, lower, on string) layers {
	t.Helper()
	dir, err := os.MkdirTemp(on, "layer")
	must(t, err)
	l := layers{lower, filepath.Join(dir, "upper"), filepath.Join(dir, "work")}
	must(t, os.Mkdir(l.upper, 0o755))
	must(t, os.Mkdir(l.work, 0o755))
	return l
}

// mount makes the overlay, mounted nowhere: it vanishes with its descriptor.
func (l layers) mount(t testing.TB, options ...string) *os.File {
	t.Helper()
	config := []string{"lowerdir", l.lower, "upperdir", l.upper, "workdir", l.work, "index", "off"}
	return newMount(t, "overlay", append(config, options...)...)
}

// newMount makes a file system that is mounted nowhere.
func newMount(t testing.TB, kind string, config ...string) *os.File {
	t.Helper()
	kerneltest.Require(t, feature.Privileges, feature.Overlay)
	fd, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	must(t, err)
	defer unix.Close(fd)
	for i := 0; i < len(config); i += 2 {
		must(t, unix.FsconfigSetString(fd, config[i], config[i+1]))
	}
	must(t, unix.FsconfigCreate(fd))
	mounted, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, 0)
	must(t, err)
	f := os.NewFile(uintptr(mounted), kind)
	t.Cleanup(func() { f.Close() })
	return f
}

// settle waits until the clock of a file system shows a later time than what was written so far.
func settle(t testing.TB, dir string) {
	t.Helper()
	stamp := func() unix.Timespec {
		f, err := os.CreateTemp(dir, "settle")
		must(t, err)
		f.Close()
		var st unix.Stat_t
		must(t, unix.Stat(f.Name(), &st))
		must(t, os.Remove(f.Name()))
		return st.Ctim
	}
	for before := stamp(); before == stamp(); {
	}
}
