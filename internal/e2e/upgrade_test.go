package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestUpgrade replaces the agent by another build while containers talk: the keeper becomes that build in place, and nobody notices.
func TestUpgrade(t *testing.T) {
	n := newNode(t)
	n.start()
	running, _ := talkers(n, 5)
	before := map[string]spec.Object{}
	for _, name := range running {
		before[name] = n.phase(name, spec.PhaseRunning)
	}
	keeper := n.keepers()
	n.signal(syscall.SIGTERM)
	n.bin = anotherBuild(t)
	n.start()
	for _, name := range running {
		after := n.phase(name, spec.PhaseRunning)
		if after.Status.Container.Pid != before[name].Status.Container.Pid {
			t.Errorf("%s: pid %d, was %d", name, after.Status.Container.Pid, before[name].Status.Container.Pid)
		}
		consecutive(t, name, n.logs(name))
	}
	if now := n.keepers(); len(now) != 1 || len(keeper) != 1 || now[0] != keeper[0] {
		t.Errorf("got keepers %v, were %v: it should have become the new build in place", now, keeper)
	}
	if out, err := os.ReadFile(n.path("agent.log")); err != nil || !strings.Contains(string(out), "renewed keeper") {
		t.Errorf("the keeper was not renewed: %v\n%s", err, tail(out))
	}
}

// anotherBuild is the program linked differently, so that its build id differs; it is built here, unless that was done elsewhere.
func anotherBuild(t *testing.T) string {
	t.Helper()
	if built := os.Getenv("RECONCILER_BUILT"); built != "" {
		return filepath.Join(built, "another", "reconciler")
	}
	path := filepath.Join(t.TempDir(), "reconciler")
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("skip: needs go, to build a second version")
	}
	out, err := exec.Command("go", "build", "-ldflags", "-X main.version=another", "-o", path, "../../cmd/reconciler").CombinedOutput()
	if err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}
	return path
}
