package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// runner executes `true` in a container of its own, and returns when that has ended.
type runner struct {
	name string
	run  func(b *testing.B)
}

// BenchmarkExec is the time from the call of an exec of `true` to its exit code, in a container that runs, in the plain way and, where
// processes of the container may trace, in the confined one.
func BenchmarkExec(b *testing.B) {
	kerneltest.Root(b)
	mark := newMark(b)
	rootfs := kerneltest.Rootfs(b)
	runners := []runner{
		newOurExec(b, rootfs, mark, "ours"),
		newOurExec(b, rootfs, mark, "confined", "SYS_PTRACE"),
	}
	for _, name := range []string{"crun", "runc"} {
		path, err := exec.LookPath(name)
		if err != nil {
			b.Logf("no %s: its ratios are left out", name)
			continue
		}
		runners = append(runners, newEngineExec(b, path, rootfs, mark))
	}
	for _, gap := range gaps {
		b.Run(fmt.Sprintf("gap=%v", gap), func(b *testing.B) {
			took := make([][]time.Duration, len(runners))
			for range b.N {
				for i, runner := range runners {
					time.Sleep(gap)
					began := time.Now()
					runner.run(b)
					took[i] = append(took[i], time.Since(began))
				}
			}
			for i, runner := range runners {
				b.Logf("%-10s exec %8v  (n=%d)  ours/it: plain %.3f confined %.3f", runner.name, median(took[i]), b.N, ratio(took[0], took[i]), ratio(took[1], took[i]))
				b.ReportMetric(ratio(took[0], took[i]), "exec/"+runner.name)
			}
		})
	}
}

// newOurExec starts a container of ours with capabilities.
func newOurExec(b *testing.B, rootfs string, m mark, name string, capabilities ...string) runner {
	n := openOurs(b)
	c := ourContainer(rootfs, m, name)
	c.Spec.Security.Capabilities.Add = capabilities
	ctx := context.Background()
	if err := n.Create(ctx, c, 1, spec.DefaultsVersion); err != nil {
		b.Fatal(err)
	}
	if err := n.Start(ctx, name, 1); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = n.Destroy(ctx, name, 1, false) })
	m.wait(b)
	return runner{name, func(b *testing.B) {
		s, err := n.Exec(ctx, name, 1, spec.Exec{Command: []string{"/bin/true"}})
		if err != nil {
			b.Fatal(err)
		}
		if exit, err := s.Wait(ctx); err != nil || exit.Code != 0 {
			b.Fatal(exit, err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}}
}

// newEngineExec starts a container of an OCI runtime.
func newEngineExec(b *testing.B, path, rootfs string, m mark) runner {
	e := makeEngine(b, path, rootfs, m)
	e.start(b, 0)
	b.Cleanup(func() { e.destroy(b, 0) })
	m.wait(b)
	argv := append(e.command, "exec", e.id(0), "/bin/true")
	return runner{e.name, func(b *testing.B) {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
	}}
}
