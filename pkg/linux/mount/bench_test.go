package mount_test

import (
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// BenchmarkStart is one start and its end: looking, planning, opening, the child's ops, a busybox that does nothing.
func BenchmarkStart(b *testing.B) {
	for name, root := range map[string]spec.Rootfs{"writable": {}, "read-only": {ReadOnly: true}} {
		c := container(newRootfs(b, "proc", "sys", "dev"), func(s *spec.ContainerSpec) {
			root.Path = s.Rootfs.Path
			s.Rootfs, s.Network.Mode = root, spec.NetworkHost
		})
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p, files, err := prepare(c, "", "true")
				must(b, err)
				must(b, start(b, p, files))
			}
		})
	}
}

// BenchmarkPlan is the part of a start that is spent before the child exists.
func BenchmarkPlan(b *testing.B) {
	c := container(newRootfs(b, "proc", "sys", "dev"), nil)
	for b.Loop() {
		_, files, err := prepare(c, "", "true")
		must(b, err)
		files.Close()
	}
}

// BenchmarkUserNamespace is what an id-mapped bind with maps of its own costs beforehand.
func BenchmarkUserNamespace(b *testing.B) {
	needRoot(b)
	for b.Loop() {
		f, err := namespace.NewUser(ids.UIDs, ids.GIDs)
		must(b, err)
		f.Close()
	}
}
