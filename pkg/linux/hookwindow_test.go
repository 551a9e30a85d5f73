package linux_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A hook of the image runs inside while process 1 waits for it, and may be allowed to trace: what it finds there is what process 1 will be given
// anyway, and two pipes. In particular there is nothing of the node's, and process 1 is under the filter, and has not one capability more.
func TestHookWindow(t *testing.T) {
	n := open(t)
	for _, capabilities := range [][]string{nil, {"SYS_PTRACE"}, {"SYS_ADMIN"}, {"ALL"}} {
		for _, hasNewPrivileges := range []bool{false, true} {
			c := n.container("web", "exec sleep 1000")
			c.Spec.Security.Capabilities.Add = capabilities
			c.Spec.Security.AllowNewPrivileges = hasNewPrivileges
			c.Spec.Mounts = []spec.Mount{{Type: spec.MountBind, Source: n.dir, Destination: "/node"}}
			c.Spec.Hooks.StartContainer = []spec.Hook{{
				Path: "/bin/sh", Args: []string{"sh", "-c", `
					cd /proc/1/fd; for f in *; do ls $f/ >/dev/null 2>&1 && echo "DIRECTORY $f"; echo "FD $(readlink $f | sed 's/:.*//')"; done >/node/said
					for line in Seccomp CapBnd CapEff CapPrm NoNewPrivs; do [ "$(grep $line: /proc/1/status)" = "$(grep $line: /proc/self/status)" ] || echo "OTHER $line"; done >>/node/said`},
				Env: map[string]string{"PATH": "/bin"},
			}}
			n.run(t, c, 1)
			text, err := os.ReadFile(n.path("said"))
			must(t, err)
			mayTrace := slices.Contains(capabilities, "SYS_PTRACE") || slices.Contains(capabilities, "ALL")
			for line := range strings.Lines(string(text)) {
				switch line = strings.TrimSpace(line); {
				case line == "FD pipe", line == "FD /dev/null", line == "FD", strings.HasSuffix(line, "/web/1/stdout"), strings.HasSuffix(line, "/web/1/stderr"):
				case !mayTrace && strings.HasPrefix(line, "OTHER "): // nobody can reach it, and it is not at its end
				default:
					t.Errorf("%v, %v: %s", capabilities, hasNewPrivileges, line)
				}
			}
			if mayTrace && strings.Count(string(text), "FD pipe") != 2 {
				t.Errorf("%v, %v: the test sees nothing: %q", capabilities, hasNewPrivileges, text)
			}
			must(t, n.Destroy(t.Context(), "web", 1, false))
		}
	}
}
