package cgroup_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// patience is how long a test waits for what must come.
var patience = kerneltest.Patient(20 * time.Second)

// statsUntil reads a group's statistics until they are as wanted, some times a second: whoever reads pressure more often than the
// kernel's clock ticks sees none (kernel/sched/psi.c, collect_percpu_times: weights are whole ticks).
func statsUntil(t *testing.T, g *cgroup.Group, what string, until func(spec.Stats) bool) spec.Stats {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		s, err := g.Stats()
		must(t, err)
		if until(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s never came: cpu %+v, memory %+v, pids %+v, io %+v", what, s.CPU, s.Memory, s.Pids, s.IO)
		}
	}
}

func TestStatsOfProcessorTime(t *testing.T) {
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	if s, err := g.Stats(); err != nil || s.Name != "web" || s.Instance != 1 || s.Time.IsZero() || s.CPU == nil || s.CPU.UsageUsec != 0 {
		t.Fatalf("of an empty group: %+v, %v", s, err)
	}
	must(t, g.Set(spec.Resources{CPU: spec.CPU{Max: spec.NewCores(100_000)}}))
	start(t, g, "echo ready; while :; do :; done")
	before := statsUntil(t, g, "processor time", func(s spec.Stats) bool { return s.CPU.UsageUsec > 0 })
	after := statsUntil(t, g, "more processor time, throttled", func(s spec.Stats) bool {
		return s.CPU.UsageUsec >= before.CPU.UsageUsec+50_000 && s.CPU.NrThrottled > 0 && s.CPU.ThrottledUsec > 0
	})
	if c := after.CPU; c.UserUsec == 0 || c.NrPeriods < c.NrThrottled || !after.Time.After(before.Time) {
		t.Errorf("got %+v", c)
	}
	must(t, g.Kill())
}

// A busybox that holds a text in its heap, and one that fills a file in memory.
func TestStatsOfMemory(t *testing.T) {
	kerneltest.Require(t, feature.Memory)
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	must(t, g.Set(spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(256 * mebi)}}))
	shm := filepath.Join("/dev/shm", p.Name())
	t.Cleanup(func() { _ = os.Remove(shm) })
	start(t, g, "x=$(head -c 8000000 /dev/zero | tr '\\0' x); head -c 16777216 /dev/zero >"+shm+"; echo ready; sleep 1000; true")
	s := statsUntil(t, g, "memory", func(s spec.Stats) bool { return s.Memory.Shmem >= 16*mebi && s.Memory.Anon >= 8_000_000 })
	m := s.Memory
	if m.File < m.Shmem || m.Current < m.Shmem || m.Peak < m.Current || m.Pgfault == 0 || m.Max != spec.NewLimit(256*mebi) {
		t.Errorf("got %+v", m)
	}
	if w := m.WorkingSet(); w > m.Current || w < m.Shmem {
		t.Errorf("a working set of %d", w)
	}
	if feature.Swap.Probe() == nil && m.SwapMax.IsZero() {
		t.Errorf("no swap limit in %+v", m)
	}
}

// A fork bomb meets its limit.
func TestStatsOfPids(t *testing.T) {
	kerneltest.Require(t, feature.Pids)
	p := kerneltest.Cgroups(t)
	g := created(t, p, "bomb", 1)
	must(t, g.Set(spec.Resources{Pids: spec.Pids{Max: spec.NewLimit(20)}}))
	start(t, g, "bomb() { bomb 2>/dev/null & bomb 2>/dev/null & wait; }; bomb 2>/dev/null; sleep 1000")
	s := statsUntil(t, g, "20 tasks", func(s spec.Stats) bool { return s.Pids.Peak == 20 || s.Pids.Current == 20 })
	if s.Pids.Max != spec.NewLimit(20) || s.Pids.Current > 20 {
		t.Errorf("got %+v", s.Pids)
	}
	must(t, g.Kill())
}

// Two busy processes on one processor lose time to each other.
func TestStatsOfPressure(t *testing.T) {
	kerneltest.Require(t, feature.Pressure)
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	must(t, g.Set(spec.Resources{Cpuset: spec.Cpuset{Cpus: "0"}}))
	start(t, g, "while :; do :; done & echo ready; while :; do :; done")
	statsUntil(t, g, "pressure", func(s spec.Stats) bool { return s.Pressure != nil && s.Pressure.CPU.Some.TotalUsec > 100_000 })
	must(t, g.Kill())
}

// A v1 hierarchy of disks counts only groups that are in it, so this one has a limit.
func TestStatsOfDisks(t *testing.T) {
	f, ok := feature.Lookup("cgroup-io")
	if !ok {
		t.Skip("skip: needs cgroup-io: this package does not limit disks yet")
	}
	kerneltest.Require(t, f)
	dir := t.TempDir()
	var st unix.Stat_t
	must(t, unix.Stat(dir, &st))
	device := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	if _, err := os.Stat("/sys/dev/block/" + device + "/queue"); err != nil {
		t.Skipf("skip: needs a whole disk below %s: %v", dir, err)
	}
	var limited spec.Resources
	must(t, json.Unmarshal([]byte(`{"io": {"max": {"`+device+`": {"wbps": "1Ti"}}}}`), &limited))
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	must(t, g.Set(limited))
	start(t, g, "dd if=/dev/zero of="+dir+"/file bs=1M count=4 conv=fsync 2>/dev/null; echo ready; sleep 1000; true")
	s := statsUntil(t, g, "a write of 4 MiB", func(s spec.Stats) bool { return len(s.IO) > 0 && s.IO[0].WBytes >= 4*mebi })
	if d := s.IO[0]; d.WIOs == 0 || d.Device != device || d.Name == "" {
		t.Errorf("got %+v", d)
	}
}

func TestStatsOfARemovedGroup(t *testing.T) {
	p := kerneltest.Cgroups(t)
	if _, err := groupOf(t, p, "nobody", 1).Stats(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// What a sample costs.
func BenchmarkStats(b *testing.B) {
	p := kerneltest.Cgroups(b)
	g, err := p.Group("web", 1)
	if err == nil {
		err = g.Create()
	}
	b.ReportAllocs()
	for b.Loop() && err == nil {
		_, err = g.Stats()
	}
	if err != nil {
		b.Fatal(err)
	}
}
