package machine_test

import (
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/backendtest"
)

// The node on the kernel keeps the laws that the one in memory is held to as well.
func TestBackend(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.Backend {
		n := open(t)
		return backendtest.Backend{Node: n.Node, Images: true, Rootfs: n.path("rootfs"), Patience: patience, Heard: func(t *testing.T, name string) { n.hear(name, "up") }}
	})
}
