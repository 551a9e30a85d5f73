package linux_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const mebi = 1 << 20

// limits are each limit there is, by its key, with two values.
var limits = map[string][2]spec.Resources{
	"memory.max":            {{Memory: spec.Memory{Max: spec.NewLimit(64 * mebi)}}, {Memory: spec.Memory{Max: spec.NewLimit(128*mebi + 1)}}},
	"memory.high":           {{Memory: spec.Memory{High: spec.NewLimit(64 * mebi)}}, {Memory: spec.Memory{High: spec.MaxLimit()}}},
	"memory.low":            {{Memory: spec.Memory{Low: spec.NewLimit(8 * mebi)}}, {Memory: spec.Memory{Low: spec.NewLimit(4 * mebi)}}},
	"memory.swap":           {{Memory: spec.Memory{Max: spec.NewLimit(64 * mebi), Swap: spec.NewLimit(0)}}, {Memory: spec.Memory{Max: spec.NewLimit(64 * mebi), Swap: spec.NewLimit(mebi)}}},
	"cpu.max":               {{CPU: spec.CPU{Max: spec.NewCores(500_000)}}, {CPU: spec.CPU{Max: spec.MaxCores()}}},
	"cpu.weight":            {{CPU: spec.CPU{Weight: 50}}, {CPU: spec.CPU{Weight: 10000}}},
	"memory.min":            {{Memory: spec.Memory{Min: spec.NewLimit(mebi)}}, {Memory: spec.Memory{Min: spec.NewLimit(0)}}},
	"memory.zswap":          {{Memory: spec.Memory{Zswap: spec.NewLimit(mebi)}}, {Memory: spec.Memory{Zswap: spec.NewLimit(0)}}},
	"memory.oomGroup":       {{Memory: spec.Memory{OOMGroup: true}}, {Memory: spec.Memory{OOMGroup: true, Max: spec.NewLimit(64 * mebi)}}},
	"memory.oomKillDisable": {{Memory: spec.Memory{OOMKillDisable: true}}, {Memory: spec.Memory{OOMKillDisable: true, Max: spec.NewLimit(64 * mebi)}}},
	"memory.swappiness":     {{Memory: spec.Memory{Swappiness: spec.NewNumber(0)}}, {Memory: spec.Memory{Swappiness: spec.NewNumber(100)}}},
	"cpu.period":            {{CPU: spec.CPU{Period: spec.Duration(50_000_000)}}, {CPU: spec.CPU{Period: spec.Duration(20_000_000), Max: spec.NewCores(500_000)}}},
	"cpu.burst":             {{CPU: spec.CPU{Max: spec.NewCores(500_000), Burst: spec.Duration(10_000_000)}}, {CPU: spec.CPU{Max: spec.NewCores(50_000), Burst: spec.Duration(1_000_000)}}},
	"cpu.shares":            {{CPU: spec.CPU{Shares: 512}}, {CPU: spec.CPU{Shares: 4096}}},
	"cpu.idle":              {{CPU: spec.CPU{Idle: true}}, {CPU: spec.CPU{Idle: true, Max: spec.NewCores(500_000)}}},
	"cpu.uclampMin":         {{CPU: spec.CPU{UclampMin: "10"}}, {CPU: spec.CPU{UclampMin: "20.5"}}},
	"cpu.uclampMax":         {{CPU: spec.CPU{UclampMax: "90"}}, {CPU: spec.CPU{UclampMax: "max"}}},
	"cpu.rtRuntime":         {{CPU: spec.CPU{RTRuntime: spec.Duration(1_000_000)}}, {CPU: spec.CPU{RTRuntime: spec.Duration(2_000_000)}}},
	"cpu.rtPeriod":          {{CPU: spec.CPU{RTPeriod: spec.Duration(500_000_000)}}, {CPU: spec.CPU{RTPeriod: spec.Duration(2_000_000_000)}}},
	"io.weight":             {{IO: spec.IO{Weight: 50}}, {IO: spec.IO{Weight: 10000}}},
	"io.blkioWeight":        {{IO: spec.IO{BlkioWeight: 10}}, {IO: spec.IO{BlkioWeight: 1000}}},
	"io.deviceWeights":      {{IO: spec.IO{DeviceWeights: map[string]uint64{"7:0": 200}}}, {IO: spec.IO{DeviceWeights: map[string]uint64{"7:0": 50}}}},
	"io.max":                {{IO: spec.IO{Max: map[string]spec.IOMax{"7:0": {RBPS: spec.NewLimit(mebi)}}}}, {IO: spec.IO{Max: map[string]spec.IOMax{"7:0": {WIOPS: spec.NewLimit(100)}}}}},
	"io.latency":            {{IO: spec.IO{Latency: map[string]spec.Duration{"7:0": 1_000_000}}}, {IO: spec.IO{Latency: map[string]spec.Duration{"7:0": 2_000_000}}}},
	"hugetlb.max":           {{Hugetlb: spec.Hugetlb{Max: map[string]spec.Limit{"2MB": spec.NewLimit(4 * mebi)}}}, {Hugetlb: spec.Hugetlb{Max: map[string]spec.Limit{"2MB": spec.MaxLimit()}}}},
	"hugetlb.rsvd":          {{Hugetlb: spec.Hugetlb{Rsvd: map[string]spec.Limit{"2MB": spec.NewLimit(0)}}}, {Hugetlb: spec.Hugetlb{Rsvd: map[string]spec.Limit{"2MB": spec.MaxLimit()}}}},
	"rdma.max":              {{RDMA: spec.RDMA{Max: map[string]spec.RDMAMax{"mlx4_0": {HCAHandle: spec.NewLimit(2)}}}}, {RDMA: spec.RDMA{Max: map[string]spec.RDMAMax{"mlx4_0": {HCAObject: spec.NewLimit(2)}}}}},
	"misc.max":              {{Misc: spec.Misc{Max: map[string]spec.Limit{"sev": spec.NewLimit(2)}}}, {Misc: spec.Misc{Max: map[string]spec.Limit{"sev": spec.MaxLimit()}}}},
	"netCls.classid":        {{NetCls: spec.NetCls{ClassID: 1}}, {NetCls: spec.NetCls{ClassID: 2}}},
	"netPrio.ifpriomap":     {{NetPrio: spec.NetPrio{IfPrioMap: map[string]uint64{"lo": 1}}}, {NetPrio: spec.NetPrio{IfPrioMap: map[string]uint64{"lo": 2}}}},
	"pids.max":              {{Pids: spec.Pids{Max: spec.NewLimit(20)}}, {Pids: spec.Pids{Max: spec.MaxLimit()}}},
	"cpuset.cpus":           {{Cpuset: spec.Cpuset{Cpus: "0"}}, {Cpuset: spec.Cpuset{Cpus: "0-1"}}},
	"cpuset.mems":           {{Cpuset: spec.Cpuset{Mems: "0"}}, {Cpuset: spec.Cpuset{Mems: "0"}}},
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
			name := strings.ToLower(strings.ReplaceAll(row.Key, ".", "-"))
			c := n.container(name, forever)
			c.Spec.Resources = values[0]
			if err := n.Create(t.Context(), c, 1, spec.DefaultsVersion); errors.Is(err, errors.ErrUnsupported) || lacksObject(row.Key, err) {
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
				if got.Pid != pid || !got.Resources.Equal(got.Wanted) || !got.Spec.Spec.Resources.Equal(r) || got.Wanted.IsZero() != r.IsZero() {
					t.Errorf("after Update to %+v: resources %+v, wanted %+v, pid %d, was %d", r, got.Resources, got.Wanted, got.Pid, pid)
				}
			}
		})
	}
}

// lacksObject tells that the kernel has the controller, and nothing for it to limit: no RDMA device, no encrypted memory.
func lacksObject(key string, err error) bool {
	return key == "rdma.max" && errors.Is(err, unix.ENODEV) || key == "misc.max" && errors.Is(err, unix.EINVAL)
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
	if got := n.look(t, "web", 1); !got.Resources.Equal(got.Wanted) {
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

// A controller that somebody took away above the container is a limit that has drifted, and Update hands it down again: systemd does so when it reads its units
// anew.
func TestDriftOfControllers(t *testing.T) {
	n := open(t)
	tree := kerneltest.Tree(t)
	c := n.container("web", forever)
	controller := "pids"
	c.Spec.Resources.Pids.Max = spec.NewLimit(50)
	if tree.V1["pids"] != "" {
		controller = "hugetlb"
		c.Spec.Resources = spec.Resources{Hugetlb: spec.Hugetlb{Max: map[string]spec.Limit{"2MB": spec.NewLimit(4 * mebi)}}}
	}
	if err := n.Create(t.Context(), c, 1, spec.DefaultsVersion); errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("skip: needs a controller of cgroup v2: %v", err)
	} else {
		must(t, err)
	}
	must(t, n.Start(t.Context(), "web", 1))
	before := n.look(t, "web", 1)
	if !before.Resources.Equal(before.Wanted) || before.Wanted.IsZero() {
		t.Fatalf("resources %+v, wanted %+v", before.Resources, before.Wanted)
	}
	for dir := filepath.Dir(n.group(t, "web", 1)); strings.HasPrefix(dir, filepath.Join(tree.Unified, n.groups())); dir = filepath.Dir(dir) {
		must(t, os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("-"+controller), 0))
	}
	if got := n.look(t, "web", 1); got.Resources.Equal(got.Wanted) {
		t.Fatalf("nothing drifted: %+v", got.Resources)
	}
	must(t, n.Update(t.Context(), c, 1))
	if got := n.look(t, "web", 1); !got.Resources.Equal(got.Wanted) || got.Pid != before.Pid {
		t.Errorf("after Update: %+v, wanted %+v", got.Resources, got.Wanted)
	}
}
