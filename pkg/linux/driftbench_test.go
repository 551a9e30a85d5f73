package linux_test

import (
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// BenchmarkDrift is one deep look at an idle container, beside the look of a pass.
func BenchmarkDrift(b *testing.B) {
	n := open(b)
	c := n.container("web", "echo up; exec sleep 1000")
	c.Spec.Resources.Memory.Max = spec.NewLimit(64 << 20)
	c.Spec.Sysctls = map[string]string{"net.core.somaxconn": "512"}
	c.Spec.Mounts = []spec.Mount{{Type: spec.MountBind, Source: n.path("rootfs"), Destination: "/opt"}}
	n.run(b, c, 1)
	for name, look := range map[string]func() error{
		"deep": func() error { _, err := n.Drift(b.Context(), "web", 1); return err },
		"pass": func() error { _, err := n.ObserveOne(b.Context(), "web"); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				must(b, look())
			}
		})
	}
}
