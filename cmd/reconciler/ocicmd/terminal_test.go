package ocicmd_test

import (
	"os"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// patiently is finish of what is ended when it takes too long.
func (w *world) patiently(args ...string) result {
	w.Helper()
	cmd := w.command(args...)
	guard := time.AfterFunc(patience, func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
		}
	})
	defer guard.Stop()
	return w.finish(cmd)
}

// A terminal that others still hold is not waited for once its process has ended. All that this one has written is there, and of the others'
// output no more than fits.
func TestTerminalIsHeld(t *testing.T) {
	w := newWorld(t)
	bundle := w.bundle("t", "sleep 1000", func(s *specs.Spec) { s.Root.Readonly = false })
	w.run("run", "--detach", "--bundle", bundle, "t")
	for name, holder := range map[string]string{"silent": "sleep 1000", "drops": "sh -c 'while echo y; do sleep 0.01; done'", "flood": "yes"} {
		script := "setsid " + holder + " & echo $! >/pid; seq 1000; echo over; exit 4"
		r := w.patiently("exec", "--tty", "t", "sh", "-c", script)
		lines := strings.Fields(r.out)
		if r.code != 4 || name == "silent" && (len(lines) != 1001 || lines[999] != "1000" || lines[1000] != "over") || name == "drops" && !strings.Contains(r.out, "over") {
			t.Errorf("%s: code %d, %d lines: %.60q...%q", name, r.code, len(lines), r.out, r.out[max(0, len(r.out)-60):])
		}
	}
	// The container of a run in the foreground is removed at its end, and who holds its terminal with it.
	root := w.bundle("r", "setsid sleep 1000 & seq 1000; exit 5", func(s *specs.Spec) {
		s.Process.Terminal = true
		s.Linux.Namespaces = s.Linux.Namespaces[1:] // the node's pid namespace: nobody ends with the first process
	})
	if r := w.patiently("run", "--bundle", root, "r"); r.code != 5 || len(strings.Fields(r.out)) != 1000 {
		t.Errorf("run: code %d, %d lines, %s", r.code, len(strings.Fields(r.out)), r.err)
	}
}

// Only who listens gets the terminal of a process that is left alone.
func TestDetachedTerminal(t *testing.T) {
	w := newWorld(t)
	_, socket := w.listen("console")
	w.run("run", "--detach", "--bundle", w.bundle("d", "sleep 1000", func(s *specs.Spec) { s.Root.Readonly = false }), "d")
	w.refused(255, "without setting console socket", "exec", "--detach", "--tty", "d", "touch", "/made")
	w.refused(255, "cannot use console socket", "exec", "--detach", "--console-socket", socket, "d", "touch", "/made")
	w.refused(255, "cannot use console socket", "exec", "--tty", "--console-socket", socket, "d", "touch", "/made")
	if _, err := os.Stat(w.dir + "/bundle-d/rootfs/made"); err == nil {
		t.Error("it was run")
	}
}
