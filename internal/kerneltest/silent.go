package kerneltest

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// SilentKeeper is a run directory whose keeper takes connections and says nothing, as a stopped process does, until the test ends.
func SilentKeeper(t testing.TB) (runDir string) {
	t.Helper()
	runDir = t.TempDir()
	if err := os.Mkdir(filepath.Join(runDir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("unix", filepath.Join(runDir, "state", "keeper.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	return runDir
}
