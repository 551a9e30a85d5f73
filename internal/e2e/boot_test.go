package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// boot ends everything as a boot would: processes, cgroups and the run directory are gone, the state directory is not.
func (n *node) boot(meanwhile func()) {
	n.t.Helper()
	n.signal(syscall.SIGKILL)
	n.killKeeper()
	n.eventually("the cgroups are gone", func() error {
		n.killAll()
		if left := n.cgroups(); len(left) > 0 {
			return fmt.Errorf("left %q", left)
		}
		return nil
	})
	if err := os.RemoveAll(n.path("run")); err != nil {
		n.t.Fatal(err)
	}
	meanwhile()
	n.start()
}

const counting = "trap 'exit 0' TERM; echo x >> /count; echo count $(wc -l < /count); while :; do sleep 0.2; done"

// TestLayersOverABoot: a layer on disk that lives with the name is there after a boot, an instance's is not; a name whose manifest was removed
// meanwhile leaves nothing.
func TestLayersOverABoot(t *testing.T) {
	n := newNode(t)
	n.extra = []string{"--prune", "always"}
	n.start()
	for _, life := range []string{"Name", "Instance"} {
		for _, name := range []string{"stays", "goes"} {
			name += "-" + strings.ToLower(life)
			text := manifest(name, counting, "  stop: {timeout: 1s}\n")
			n.put(name+".yaml", strings.Replace(text, "readOnly: true", "writable: {medium: Disk, life: "+life+"}", 1))
			n.phase(name, spec.PhaseRunning)
		}
	}
	n.boot(func() {
		n.remove("goes-name.yaml")
		n.remove("goes-instance.yaml")
	})
	for name, want := range map[string]string{"stays-name": "count 1\ncount 2\n", "stays-instance": "count 1\ncount 1\n"} {
		n.phase(name, spec.PhaseRunning)
		n.eventually(name+" has counted", func() error {
			if said := n.logs(name); said != want {
				return fmt.Errorf("it said %q, want %q", said, want)
			}
			return nil
		})
	}
	n.gone("goes-name")
	n.gone("goes-instance")
}
