package engines

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
)

// ourName is what this runtime is called: no name that begins with reconciler, and one that no other has.
const ourName = "ours"

// tools skips the test without programs that it needs.
func tools(t *testing.T, names ...string) {
	t.Helper()
	kerneltest.Root(t)
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("skip: needs %s: scripts/deps.sh engines installs it", name)
		}
	}
}

// ours builds this runtime and gives its path.
func ours(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "engines") // open to all, as a runtime in /usr/bin
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program, link := filepath.Join(dir, "reconciler"), filepath.Join(dir, ourName)
	build(t, "../..", program, "./cmd/reconciler")
	if err := os.Symlink("reconciler", link); err != nil {
		t.Fatal(err)
	}
	return link
}

// build builds a command of the module in a directory, as static as it has to be in a container.
func build(t *testing.T, module, output, command string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", output, command)
	cmd.Dir, cmd.Env = module, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// archive is a root file system as a tar archive, and its file.
func archive(t *testing.T) (text []byte, path string) {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.AddFS(os.DirFS(kerneltest.Rootfs(t))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "rootfs.tar")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), path
}
