package linux_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const mebi = 1 << 20

// limits are each limit there is, by its key, with two values.
var limits = map[string][2]spec.Resources{
	"memory.max":  {{Memory: spec.Memory{Max: spec.NewLimit(64 * mebi)}}, {Memory: spec.Memory{Max: spec.NewLimit(128*mebi + 1)}}},
	"memory.high": {{Memory: spec.Memory{High: spec.NewLimit(64 * mebi)}}, {Memory: spec.Memory{High: spec.MaxLimit()}}},
	"memory.low":  {{Memory: spec.Memory{Low: spec.NewLimit(8 * mebi)}}, {Memory: spec.Memory{Low: spec.NewLimit(4 * mebi)}}},
	"memory.swap": {{Memory: spec.Memory{Max: spec.NewLimit(64 * mebi), Swap: spec.NewLimit(0)}}, {Memory: spec.Memory{Max: spec.NewLimit(64 * mebi), Swap: spec.NewLimit(mebi)}}},
	"cpu.max":     {{CPU: spec.CPU{Max: spec.NewCores(500_000)}}, {CPU: spec.CPU{Max: spec.MaxCores()}}},
	"cpu.weight":  {{CPU: spec.CPU{Weight: 50}}, {CPU: spec.CPU{Weight: 10000}}},
	"pids.max":    {{Pids: spec.Pids{Max: spec.NewLimit(20)}}, {Pids: spec.Pids{Max: spec.MaxLimit()}}},
	"cpuset.cpus": {{Cpuset: spec.Cpuset{Cpus: "0"}}, {Cpuset: spec.Cpuset{Cpus: "0-1"}}},
	"cpuset.mems": {{Cpuset: spec.Cpuset{Mems: "0"}}, {Cpuset: spec.Cpuset{Mems: "0"}}},
}

// Each limit is set by Create, changed by Update and taken away again in place, and what is read back is what was wanted.
func TestEachLimitLive(t *testing.T) {
	n := open(t)
	for _, row := range cgroup.Rows() {
		values, ok := limits[row.Key]
		if !ok {
			t.Errorf("%s has no values to be tested with", row.Key)
		}
		t.Run(row.Key, func(t *testing.T) {
			name := strings.ReplaceAll(row.Key, ".", "-")
			c := n.container(name, forever)
			c.Spec.Resources = values[0]
			if err := n.Create(t.Context(), c, 1, spec.DefaultsVersion); errors.Is(err, errors.ErrUnsupported) {
				t.Skipf("skip: needs %s: %v", row.Key, err)
			} else if err != nil {
				t.Fatal(err)
			}
			must(t, n.Start(t.Context(), name, 1))
			pid := n.look(t, name, 1).Pid
			for _, r := range []spec.Resources{values[0], values[1], values[0], {}} {
				c.Spec.Resources = r
				must(t, n.Update(t.Context(), c, 1))
				got := n.look(t, name, 1)
				if got.Pid != pid || got.Resources != got.Wanted || got.Spec.Spec.Resources != r || (got.Wanted == spec.Resources{}) != (r == spec.Resources{}) {
					t.Errorf("after Update to %+v: resources %+v, wanted %+v, pid %d, was %d", r, got.Resources, got.Wanted, got.Pid, pid)
				}
			}
		})
	}
}

// What somebody changed by hand shows, and Update writes it anew.
func TestDrift(t *testing.T) {
	kerneltest.Require(t, feature.Pids)
	n := open(t)
	c := n.container("web", forever)
	c.Spec.Resources.Pids.Max = spec.NewLimit(50)
	n.run(t, c, 1)
	n.byHand(t, "web", 1, "pids", "pids.max", "60")
	if got := n.look(t, "web", 1); got.Resources.Pids.Max != spec.NewLimit(60) || got.Wanted.Pids.Max != spec.NewLimit(50) {
		t.Errorf("after a change by hand: %+v, wanted %+v", got.Resources, got.Wanted)
	}
	must(t, n.Update(t.Context(), c, 1))
	if got := n.look(t, "web", 1); got.Resources != got.Wanted {
		t.Errorf("after Update: %+v, wanted %+v", got.Resources, got.Wanted)
	}
}

// The kernel's killing for want of memory is told from any other.
func TestOutOfMemory(t *testing.T) {
	kerneltest.Require(t, feature.Memory)
	n := open(t)
	c := n.container("hog", `x=$(head -c 100000000 /dev/zero | tr '\0' x); echo never`)
	c.Spec.Resources.Memory = spec.Memory{Max: spec.NewLimit(16 * mebi)}
	n.run(t, c, 1)
	if got := n.await(t, "hog", 1, exited).Exit; got.Code != 137 || got.Reason != spec.ExitOOMKilled || !got.OOMKilled {
		t.Errorf("got exit %+v", got)
	}
}
