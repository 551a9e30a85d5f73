package machine_test

import (
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Who begins from the image of another has its own host name.
func TestHostnameOfAnother(t *testing.T) {
	n := open(t)
	n.run(n.container("first", counter))
	n.until("a count", func() bool { return n.count("first") > 3 })
	img := n.checkpoint("first", spec.CheckpointOptions{})
	must(t, n.Create(t.Context(), n.container("second", counter), 1, spec.DefaultsVersion))
	n.restore("second", img.Ref())
	for _, name := range []string{"first", "second"} {
		if out, _, err := n.sh(name, "hostname"); err != nil || out != name+"\n" {
			t.Errorf("%s is called %q, %v", name, out, err)
		}
	}
}
