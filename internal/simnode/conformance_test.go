package simnode_test

import (
	"testing"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/backendtest"
)

// The node in memory keeps the laws that the one on the kernel is held to.
func TestConformance(t *testing.T) {
	backendtest.Run(t, func(*testing.T) backendtest.Backend {
		return backendtest.Backend{Node: simnode.New().Attach(nil, func() {}), Rootfs: "/srv", Heard: func(*testing.T, string) {}, Images: true}
	})
}

// So does one that takes no images.
func TestConformanceWithoutImages(t *testing.T) {
	backendtest.Run(t, func(*testing.T) backendtest.Backend {
		machine := simnode.New()
		machine.Unable("no criu")
		return backendtest.Backend{Node: machine.Attach(nil, func() {}), Rootfs: "/srv", Heard: func(*testing.T, string) {}}
	})
}
