package linux_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A container with a mebibyte of memory starts, is joined and ends like any other: nothing of the node is charged to it on its way.
func TestTinyMemory(t *testing.T) {
	kerneltest.Require(t, feature.Memory)
	n := open(t)
	for _, m := range []struct {
		name   string
		change func(*spec.ContainerSpec)
	}{
		{"read-only", func(*spec.ContainerSpec) {}},
		{"terminal", func(s *spec.ContainerSpec) { s.TTY = true }},
		{"init", func(s *spec.ContainerSpec) { s.Init = true }},
		{"layer", func(s *spec.ContainerSpec) { s.Rootfs.ReadOnly = false }},
		{"bare", bare},
	} {
		t.Run(m.name, func(t *testing.T) {
			c := n.container("tiny", "echo up; exec sleep 1000")
			c.Spec.Resources.Memory.Max = spec.NewLimit(mebi)
			m.change(&c.Spec)
			n.run(t, c, 1)
			n.hear(t, "tiny", "up")
			for range 5 {
				if said, exit := n.inside(t, "tiny", spec.Exec{Command: []string{"/bin/echo", "joined"}}, ""); said != "joined\n" || exit.Code != 0 {
					t.Errorf("a further process: %q, %+v", said, exit)
				}
			}
			if in := n.look(t, "tiny", 1); in.Phase != spec.InstanceRunning || in.Resources.Memory.Max != spec.NewLimit(mebi) {
				t.Errorf("it is %s with %v", in.Phase, in.Resources.Memory.Max)
			}
			must(t, n.Destroy(t.Context(), "tiny", 1, false))
		})
	}
}

// Where real time needs a share of its own, a start without one says so.
func TestRealTimeWithoutShare(t *testing.T) {
	n := open(t)
	c := n.container("rt", "chrt -p $$ | head -n 1")
	c.Spec.Scheduler = spec.Scheduler{Policy: "RR", Priority: 5}
	c.Spec.Security.Capabilities.Add = []string{"SYS_NICE"}
	must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
	if err := n.Start(t.Context(), "rt", 1); err != nil && !strings.HasSuffix(err.Error(), "say resources.cpu.rtRuntime") {
		t.Errorf("the error does not help: %v", err)
	}
	must(t, n.Destroy(t.Context(), "rt", 1, false))
}

// A limit that is too small for any process is an error that names it, or an end for want of memory; the keeper never pays for it, and nothing is left.
func TestTooLittleMemory(t *testing.T) {
	kerneltest.Require(t, feature.Memory)
	n := open(t)
	n.say(t, n.container("warm", ""))
	keeper := n.keeper(t)
	kerneltest.NoLeaks(t, kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}, Pids: []int{0, keeper}})
	for _, limit := range []uint64{0, 4096, 16 << 10, 64 << 10, 128 << 10, 256 << 10} {
		for _, rootfs := range []bool{true, false} {
			c := n.container("small", "echo up")
			c.Spec.Resources.Memory.Max = spec.NewLimit(limit)
			c.Spec.Rootfs.ReadOnly = rootfs
			err := n.Create(t.Context(), c, 1, spec.DefaultsVersion)
			if err == nil {
				err = n.Start(t.Context(), "small", 1)
			}
			said := fmt.Sprint(err)
			if err == nil {
				in := n.await(t, "small", 1, exited)
				said = fmt.Sprintf("%s, code %d, %q", in.Exit.Reason, in.Exit.Code, n.output(t, "small"))
				if in.Exit.Reason != spec.ExitCompleted && in.Exit.Reason != spec.ExitOOMKilled {
					t.Errorf("%d bytes: %s", limit, said)
				}
			} else if !strings.Contains(said, "raise resources.memory.max") {
				t.Errorf("%d bytes: the error does not name what is wrong: %s", limit, said)
			}
			t.Logf("%d bytes: %s", limit, said)
			must(t, n.Destroy(t.Context(), "small", 1, false))
		}
	}
	if n.keeper(t) != keeper {
		t.Error("it is another keeper now")
	}
	n.say(t, n.container("after", "echo still served"))
}
