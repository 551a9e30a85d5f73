package bench

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
)

// BenchmarkExec is a further process, true, in a running container, from the call to its end; and attaching: from the call to the echo of a line. No
// yardstick attaches, so that is compared with their exec.
func BenchmarkExec(b *testing.B) {
	kerneltest.Root(b)
	mark, rootfs := newMark(b), newRootfs(b)
	n := newNode(b, rootfs, mark)
	subjects := append(n.talks(b), subject{"bare", false, []step{{"exec", func(b *testing.B, _ int) {
		if err := exec.Command(filepath.Join(rootfs, "bin/busybox"), "true").Run(); err != nil {
			b.Fatal(err)
		}
	}}}})
	for _, path := range found(b) {
		e := newEngine(b, path, rootfs, mark, false)
		e.run(b, "run", "--detach", e.id(0))
		mark.wait(b)
		b.Cleanup(func() { e.run(b, "delete", "--force", e.id(0)) })
		subjects = append(subjects, subject{e.name, false, []step{{"exec", func(b *testing.B, _ int) { e.run(b, "exec", e.id(0), "true") }}}})
	}
	for _, gap := range gaps {
		b.Run(fmt.Sprintf("gap=%v", gap), func(b *testing.B) { compare(b, subjects, gap) })
	}
}
