package linux_test

import (
	"os"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// One container, two busy processes on one processor, and somebody who wants to be told.
func (n *node) contended(name string, p spec.Pressure) spec.Container {
	c := n.container(name, "while :; do :; done & echo up; while :; do :; done")
	c.Spec.Resources.Cpuset.Cpus = "0"
	c.Spec.Pressure = p
	return c
}

var cpuPressure = spec.Pressure{CPU: spec.PressureTrigger{Some: spec.Duration(100 * time.Millisecond), Window: spec.Duration(time.Second)}}

// Pressure is told of as the manifest says: from the start, after Update only, and by the next agent as well.
func TestPressure(t *testing.T) {
	kerneltest.Require(t, feature.Pressure)
	kerneltest.Require(t, feature.Cpuset)
	n := open(t)
	events, err := n.Events(t.Context())
	must(t, err)
	want := func(name string) spec.Event { return spec.Event{Name: name, Kind: spec.EventCPUPressure, Count: 1} }
	n.run(t, n.contended("web", cpuPressure), 1)
	next(t, events, want("web"))
	must(t, n.Destroy(t.Context(), "web", 1, false))

	later := n.contended("later", spec.Pressure{})
	n.run(t, later, 1)
	n.hear(t, "later", "up")
	later.Spec.Pressure = cpuPressure
	pid := n.look(t, "later", 1).Pid
	must(t, n.Update(t.Context(), later, 1))
	next(t, events, want("later"))
	if got := n.look(t, "later", 1).Pid; got != pid {
		t.Errorf("pid %d became %d", pid, got)
	}

	n.reopen(t)
	again, err := n.Events(t.Context())
	must(t, err)
	next(t, again, want("later"))
}

// Kills of children are told one by one, counted by the instance, and are not the end of process 1.
func TestKillsOfChildren(t *testing.T) {
	kerneltest.Require(t, feature.Memory)
	n := open(t)
	events, err := n.Events(t.Context())
	must(t, err)
	c := n.container("web", `hog() { sh -c 'echo 1000 >/proc/self/oom_score_adj; exec dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null'; echo $?; }
		hog; echo one; until [ -e /dev/shm/go ]; do sleep 0.05; done; hog; hog; echo three; sleep 1000; true`)
	c.Spec.Resources.Memory.Max = spec.NewLimit(16 * mebi)
	c.Spec.Mounts = []spec.Mount{{Type: spec.MountBind, Source: n.path("log"), Destination: "/dev/shm"}}
	n.run(t, c, 1)
	n.hear(t, "web", "one")
	next(t, events, spec.Event{Name: "web", Kind: spec.EventOOM, Count: 1})
	if got := n.look(t, "web", 1); got.OOMKills != 1 || got.Phase != spec.InstanceRunning {
		t.Errorf("after one kill: %+v", got)
	}
	n.touch(t, "log", "go")
	n.hear(t, "web", "three")
	sum := uint64(0)
	for deadline := time.After(patience); sum < 2; {
		select {
		case e := <-events:
			sum += e.Count
		case <-deadline:
			t.Fatalf("%d of 2 kills told", sum)
		}
	}
	if got := n.look(t, "web", 1); sum != 2 || got.OOMKills != 3 || got.Phase != spec.InstanceRunning {
		t.Errorf("told %d; after three kills: %+v", sum, got)
	}
}

// touch makes an empty file of the node's.
func (n *node) touch(t testing.TB, elem ...string) {
	t.Helper()
	must(t, os.WriteFile(n.path(elem...), nil, 0o644))
}
