package machine_test

import (
	"os"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A packed image is restored like another one, also with memory that follows, and what was unpacked for it does not stay.
func TestPacked(t *testing.T) {
	for name, lazy := range map[string]bool{"eager": false, "lazy": true} {
		t.Run(name, func(t *testing.T) {
			if lazy {
				kerneltest.Criu(t, criu.Lazy)
			}
			n := open(t)
			c := n.container("count", "dd if=/dev/zero bs=48M count=1 2>/dev/null | (head -c 1 >/dev/null; exec sleep 100000) & "+counter)
			c.Spec.Checkpoint = spec.Checkpoint{Compress: spec.CompressZstd, Lazy: lazy}
			n.run(c)
			for range 2 {
				at := n.count("count")
				n.until("a count", func() bool { return n.count("count") >= at+5 })
				img := n.checkpoint("count", spec.CheckpointOptions{Stop: true})
				if img.Compression != spec.CompressZstd {
					t.Fatalf("got %+v", img)
				}
				n.until("the end", func() bool { return n.look("count").Phase == spec.InstanceExited })
				at = n.count("count")
				n.restore("count", img.Ref())
				n.until("the next count", func() bool { return n.count("count") > at })
				n.until("all its memory", func() bool { return !n.look("count").Filling })
			}
			n.reopen()
			if left, err := os.ReadDir(n.path("state", "unpacked")); err != nil || len(left) > 0 {
				t.Errorf("what was unpacked: %v, %v", left, err)
			}
		})
	}
}

// An image is of the run that it was taken of, and not of one that has its numbers because the container was made anew.
func TestNumbersComeAgain(t *testing.T) {
	n := open(t)
	c := n.container("count", counter)
	n.run(c)
	img := n.checkpoint("count", spec.CheckpointOptions{Stop: true, Keep: true})
	n.until("the end", func() bool {
		return n.look("count").Exit != nil && n.look("count").Exit.Reason == spec.ExitCheckpointed
	})
	must(t, n.Destroy(t.Context(), "count", 1, false))
	n.run(c)
	n.reopen()
	images, err := n.Images(t.Context(), "count")
	must(t, err)
	if len(images) != 1 || images[0].Ref() != img.Ref() {
		t.Errorf("images: %+v", images)
	}
	must(t, n.Kill(t.Context(), "count", 1, "SIGKILL"))
	n.until("the end", func() bool { return n.look("count").Exit != nil })
	if exit := n.look("count").Exit; exit.Reason != spec.ExitKilled {
		t.Errorf("exit: %+v", exit)
	}
}
