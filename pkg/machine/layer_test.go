package machine_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A restore that is refused when the container's tree stands already takes nothing from a layer that outlives it: a start goes on with what was written since the image.
func TestRefusedRestoreKeepsTheLayer(t *testing.T) {
	for _, medium := range []spec.Medium{spec.MediumDisk, spec.MediumMemory} {
		for _, life := range []spec.Life{spec.LifeInstance, spec.LifeName} {
			t.Run(string(medium)+"/"+string(life), func(t *testing.T) {
				n := open(t)
				c := n.container("web", `cat /written; echo begins >> /written; sleep 100000 & while :; do read -t 1 x; done`)
				c.Spec.Rootfs.Writable = spec.Writable{Medium: medium, Life: life, Size: 16 << 20}
				if medium == spec.MediumDisk {
					c.Spec.Rootfs.Writable.Size = 0
				}
				n.run(c)
				img := n.checkpoint("web", spec.CheckpointOptions{})
				if out, exit, err := n.sh("web", "echo since >> /written; echo more > /more"); err != nil || exit.Code != 0 {
					t.Fatalf("%s %+v %v", out, exit, err)
				}
				must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
				n.until("the end", func() bool { return n.look("web").Exit != nil })
				// Its program is another one now, which is seen when the tree stands.
				sh, err := os.ReadFile(n.path("rootfs", "bin", "busybox"))
				must(t, err)
				n.replace(append(sh, 0), "rootfs", "bin", "busybox")
				if err := n.Restore(t.Context(), "web", 1, img.Ref()); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "/bin/") {
					t.Fatalf("Restore: %v", err)
				}
				must(t, n.Start(t.Context(), "web", 1))
				n.until("what was written", func() bool {
					out, _, _ := n.sh("web", "cat /written /more")
					return out == "begins\nsince\nbegins\nmore\n"
				})
				// And one that succeeds leaves nothing aside.
				n.replace(sh, "rootfs", "bin", "busybox")
				must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
				n.until("the end", func() bool { return n.look("web").Exit != nil && n.look("web").Phase == spec.InstanceExited })
				n.restore("web", img.Ref())
				if out, _, _ := n.sh("web", "cat /written; ls /more 2>/dev/null"); !strings.HasPrefix(out, "begins\n") || strings.Contains(out, "since") || strings.HasSuffix(out, "/more\n") {
					t.Errorf("after a restore: %q", out)
				}
				for _, dir := range []string{"state", "run"} {
					if left, _ := fs.Glob(os.DirFS(n.path(dir, "layers")), "*/*aside*"); len(left) > 0 {
						t.Errorf("aside: %q", left)
					}
				}
			})
		}
	}
}
