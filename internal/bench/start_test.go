package bench

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// gaps are the pauses between rounds: a busy node, and two that are idle in between.
var gaps = []time.Duration{0, 15 * time.Millisecond, 100 * time.Millisecond}

// BenchmarkStart is the time from the call to the payload's first write, and of destroying it while it runs.
func BenchmarkStart(b *testing.B) {
	kerneltest.Root(b)
	mark, rootfs := newMark(b), newRootfs(b)
	n := newNode(b, rootfs, mark)
	subjects := append([]subject{n.starts(variants[0]), newBare(rootfs, mark)}, engines(b, rootfs, mark, false)...)
	for _, gap := range gaps {
		b.Run(fmt.Sprintf("gap=%v", gap), func(b *testing.B) { compare(b, subjects, gap) })
	}
}

// BenchmarkVariants is the same for containers with more than the ordinary, beside a neighbour that keeps bridge and rules in place. The engines get the
// ordinary and, those that can, users of their own.
func BenchmarkVariants(b *testing.B) {
	kerneltest.Root(b)
	mark, rootfs := newMark(b), newRootfs(b)
	n := newNode(b, rootfs, mark)
	neighbour := n.container("neighbour", payload...)
	neighbour.Spec.Network.Mode = spec.NetworkBridge
	n.run(b, neighbour)
	defer n.destroy(b, "neighbour")
	var subjects []subject
	for _, v := range append(variants, everything) {
		subjects = append(subjects, n.starts(v))
	}
	subjects = append(subjects, engines(b, rootfs, mark, false)...)
	compare(b, append(subjects, engines(b, rootfs, mark, true)...), 0)
}

// BenchmarkHundred is a hundred containers from cold, one after the other.
func BenchmarkHundred(b *testing.B) {
	kerneltest.Root(b)
	mark, rootfs := newMark(b), newRootfs(b)
	n := newNode(b, rootfs, mark)
	steps := n.starts(variants[0]).steps
	var took []time.Duration
	for range min(b.N, 5) {
		began := time.Now()
		for i := range 100 {
			steps[0].do(b, i)
		}
		took = append(took, time.Since(began))
		for i := range 100 {
			steps[1].do(b, i)
		}
	}
	b.ReportMetric(float64(percentile(took, 50).Milliseconds()), "ms/100")
}

// newBare is clone3 and execve in five namespaces, by the standard library, without any file system work: a floor.
func newBare(rootfs string, m mark) subject {
	var cmd *exec.Cmd
	return subject{"bare", false, []step{{"start", func(b *testing.B, _ int) {
		cmd = exec.Command(filepath.Join(rootfs, "bin/busybox"), "sh", "-c", strings.ReplaceAll(payload[2], "/mark/", m.dir+"/"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		m.wait(b)
	}}, {"destroy", func(*testing.B, int) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}}}}
}
