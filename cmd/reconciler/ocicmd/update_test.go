package ocicmd_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

// limits are what the kernel shows of a container's, in either version of cgroups.
func (w *world) limits(id string) string {
	w.Helper()
	tree := kerneltest.Tree(w)
	points := map[string]bool{tree.Unified: true}
	for _, point := range tree.V1 {
		points[point] = true
	}
	var shown []string
	for point := range points {
		for _, file := range []string{
			"memory.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us",
			"memory.max", "memory.low", "memory.swap.max", "pids.max", "cpu.weight", "cpu.max",
		} {
			if text := w.read(filepath.Join(point, w.parent, id, file)); text != "" {
				shown = append(shown, file+"="+text)
			}
		}
	}
	if len(shown) < 3 {
		w.Fatalf("no limits of %s are found: %v", id, shown)
	}
	slices.Sort(shown)
	return strings.Join(shown, " ")
}

func limited(s *specs.Spec) {
	memory, low, swap, tasks, shares, quota, period := int64(64<<20), int64(32<<20), int64(96<<20), int64(30), uint64(512), int64(50000), uint64(100000)
	r := s.Linux.Resources
	r.Memory = &specs.LinuxMemory{Limit: &memory, Reservation: &low}
	if _, err := os.Stat("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"); err == nil {
		r.Memory.Swap = &swap
	}
	r.Pids = &specs.LinuxPids{Limit: &tasks}
	r.CPU = &specs.LinuxCPU{Shares: &shares, Quota: &quota, Period: &period}
}

// Engines say 0 for what they do not mean: it leaves what was, as with runc. A number that a limit cannot be is refused, and changes nothing either.
func TestUpdateByNothing(t *testing.T) {
	kerneltest.Require(t, feature.Memory, feature.Pids)
	w := newWorld(t)
	binaries := []string{w.binary}
	if runc, err := exec.LookPath("runc"); err == nil {
		binaries = append(binaries, runc)
	}
	for _, binary := range binaries {
		me := &world{T: t, dir: w.dir, root: filepath.Join(w.dir, filepath.Base(binary)+"-root"), parent: w.parent, binary: binary}
		id := "x" + filepath.Base(binary)
		me.run("run", "--detach", "--bundle", w.bundle(id, "sleep 1000", limited), id)
		defer me.try("delete", "--force", id)
		want := me.limits(id)
		same := func(what any, r result, code int) {
			t.Helper()
			if got := me.limits(id); got != want || r.code != code {
				t.Errorf("%s, %v: code %d, want %d\n%s\nbefore it was\n%s\nnow it is\n%s", binary, what, r.code, code, r.err, want, got)
			}
		}
		for _, flag := range []string{"memory", "memory-reservation", "memory-swap", "pids-limit", "cpu-share", "cpu-quota", "cpu-period", "cpu-rt-runtime", "cpu-rt-period", "blkio-weight"} {
			same(flag, me.try("update", "--"+flag, "0", id), 0)
		}
		cmd := me.command("update", "--resources", "-", id)
		cmd.Stdin = strings.NewReader(`{"memory": {"limit": 0, "reservation": 0, "swap": 0}, "pids": {"limit": 0}, "cpu": {"shares": 0, "quota": 0, "period": 0}, "blockIO": {"weight": 0}}`)
		same("a file", me.finish(cmd), 0)
		for flag, bad := range map[string]string{"cpu-share": "-1", "cpu-period": "-1", "cpu-rt-period": "-7", "blkio-weight": "-1", "memory": "-2", "memory-swap": "-2"} {
			same(flag+" "+bad, me.try("update", "--"+flag, bad, id), 1)
		}
		if binary == w.binary { // runc takes the first 16 bits
			same("a large weight", me.try("update", "--blkio-weight", "65636", id), 1)
		}
	}
}

// Where systemd has the limits as well and cannot be told of new ones, the kernel keeps those that were.
func TestUpdateOfALostScope(t *testing.T) {
	kerneltest.Require(t, feature.Memory, feature.Pids)
	w := newWorld(t)
	w.run("run", "--detach", "--bundle", w.bundle("s", "sleep 1000", limited), "s")
	want := w.limits("s")
	file := filepath.Join(w.root, "s", "state.json")
	before := w.read(file)
	var record map[string]any
	if err := json.Unmarshal([]byte(before), &record); err != nil {
		t.Fatal(err)
	}
	record["scope"] = map[string]string{"Unit": fmt.Sprintf("nowhere%d.scope", os.Getpid()), "Slice": "nowhere.slice"}
	w.write(file, record)
	lost := w.read(file)
	w.refused(1, "", "update", "--pids-limit", "44", "--memory", "48M", "s")
	if got := w.limits("s"); got != want {
		t.Errorf("before it was\n%s\nnow it is\n%s", want, got)
	}
	if got := w.read(file); got != lost {
		t.Errorf("the record has become %s", got)
	}
	if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run("update", "--pids-limit", "44", "s")
	if got := w.limits("s"); !strings.Contains(got, "pids.max=44") {
		t.Errorf("now it is %s", got)
	}
}
