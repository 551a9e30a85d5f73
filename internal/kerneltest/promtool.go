package kerneltest

import (
	"os/exec"
	"strings"
	"testing"
)

// promtools are where promtool is looked for: on the PATH, and where scripts/promtool.sh puts it.
var promtools = []string{"promtool", "/usr/local/lib/reconciler/promtool"}

// Promtool runs promtool, of Prometheus, on a text. The test is skipped where there is none, and fails where promtool finds something.
func Promtool(t testing.TB, stdin string, args ...string) {
	t.Helper()
	for _, path := range promtools {
		path, err := exec.LookPath(path)
		if err != nil {
			continue
		}
		cmd := exec.Command(path, args...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "FAILED") {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return
	}
	t.Skip("skip: needs promtool: none is here, scripts/promtool.sh installs it")
}
