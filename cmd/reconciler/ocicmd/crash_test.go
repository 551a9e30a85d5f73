package ocicmd_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(&b[0])) }

// Whenever the runtime is killed, deletion by force removes all of it; the end of the test looks for what is left.
func TestKilledAnywhere(t *testing.T) {
	w := newWorld(t)
	bundle := w.bundle("k", "sleep 1000", hooked("true", "createRuntime", "startContainer"))
	for _, verb := range []string{"create", "run", "start", "delete"} {
		for i := range 24 {
			args := []string{verb, "k"}
			switch verb {
			case "create", "run":
				args = []string{verb, "--bundle", bundle, "k"}
			default:
				w.run("create", "--bundle", bundle, "k")
			}
			cmd := w.command(args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(i) * 1100 * time.Microsecond)
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			w.try("state", "k")
			w.run("delete", "--force", "k")
			w.refused(1, "container does not exist", "state", "k")
		}
	}
	// A name whose runtime was killed can be used again, if nothing had been made.
	if err := os.MkdirAll(filepath.Join(w.root, "k"), 0o711); err != nil {
		t.Fatal(err)
	}
	w.run("create", "--bundle", bundle, "k")
	w.is("k", specs.StateCreated)
	w.run("delete", "k")
	// A torn state is no obstacle.
	w.run("create", "--bundle", bundle, "k")
	w.run("kill", "k", "KILL")
	w.is("k", specs.StateStopped)
	if err := os.WriteFile(filepath.Join(w.root, "k/state.json"), []byte(`{"schema"`), 0o600); err != nil {
		t.Fatal(err)
	}
	w.refused(1, "torn", "state", "k")
	w.run("list")
	w.run("delete", "--force", "k")
}
