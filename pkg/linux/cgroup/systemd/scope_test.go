package systemd

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/dbus"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestParseScope(t *testing.T) {
	tests := []struct{ said, unit, path string }{
		{"", "engine-c1.scope", "system.slice/engine-c1.scope"},
		{"machine.slice:libpod:abc", "libpod-abc.scope", "machine.slice/libpod-abc.scope"},
		{":libpod:abc", "libpod-abc.scope", "system.slice/libpod-abc.scope"},
		{"a-b-c.slice::abc", "abc.scope", "a.slice/a-b.slice/a-b-c.slice/abc.scope"},
		{"-.slice:x:y", "x-y.scope", "x-y.scope"},
		{"machine.slice:x:machine-pod.slice", "machine-pod.slice", "machine.slice/machine-pod.slice"},
	}
	for _, test := range tests {
		s, err := ParseScope(test.said, "engine", "c1")
		path, pathErr := s.Path()
		if err != nil || pathErr != nil || s.Unit != test.unit || path != test.path {
			t.Errorf("%q is %+v at %q, %v", test.said, s, path, err)
		}
	}
	for _, said := range []string{"/a/b", "a:b", "a:b:c:d", "a:b:c", "a/b.slice:x:y", "a--b.slice:x:y", "-a.slice:x:y", "a.slice:x:y/z", "a.slice::.."} {
		if s, err := ParseScope(said, "engine", "c1"); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q is %+v, %v", said, s, err)
		}
	}
}

func values(properties []dbus.Property) map[string]string {
	all := map[string]string{}
	for _, p := range properties {
		all[p.Name] = p.Value.String()
	}
	return all
}

func TestPropertiesOfLimits(t *testing.T) {
	got := values(limitsOf(spec.Resources{
		Memory: spec.Memory{Max: spec.NewLimit(1 << 20), Swap: spec.MaxLimit()},
		CPU:    spec.CPU{Max: spec.NewCores(333_333), Period: spec.Duration(50_000_000), Shares: 1024},
	}))
	want := map[string]string{
		"TasksMax": "@t " + strconv.FormatUint(math.MaxUint64, 10), "MemoryMax": "@t 1048576", "MemorySwapMax": "@t " + strconv.FormatUint(math.MaxUint64, 10),
		"CPUQuotaPerSecUSec": "@t 340000", "CPUQuotaPeriodUSec": "@t 50000", "CPUWeight": "@t 100",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPropertiesOfAnnotations(t *testing.T) {
	properties, err := annotated(map[string]string{
		"other": "x", "org.systemd.property.TimeoutStopSec": "2.5", "org.systemd.property.KillSignal": "15",
		"org.systemd.property.CollectMode": "'inactive-or-failed'", "org.systemd.property.RuntimeMaxUSec": "uint64 7", "org.systemd.property.After": "['a.service']",
	})
	want := map[string]string{"TimeoutStopUSec": "@t 2500000", "KillSignal": "15", "CollectMode": `"inactive-or-failed"`, "RuntimeMaxUSec": "@t 7", "After": `["a.service"]`}
	if got := values(properties); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, bad := range [][2]string{{"", "1"}, {"a.b", "1"}, {"KillSignal", "("}, {"KillSignal", ""}, {"TimeoutStopSec", "'soon'"}, {"TimeoutStopSec", "-1"}} {
		if _, err := annotated(map[string]string{annotationPrefix + bad[0]: bad[1]}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// On a host that systemd runs: a scope in a slice of slices, its limits in systemd's and in the kernel's words, and its end.
func TestScope(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.Require(t, feature.Systemd)
	tree := kerneltest.Tree(t)
	s, err := ParseScope("machine-reconcilertest.slice:test:"+strconv.Itoa(os.Getpid()), "", "")
	must(t, err)
	pid := keeper(t)
	limits := spec.Resources{Pids: spec.Pids{Max: spec.NewLimit(77)}, Memory: spec.Memory{Max: spec.NewLimit(64 << 20)}}
	must(t, StartScope(t.Context(), s, pid, limits, map[string]string{annotationPrefix + "CollectMode": "'inactive-or-failed'"}))
	path, err := s.Path()
	must(t, err)
	if own, err := cgroupOf(pid); err != nil || own != "/"+path {
		t.Fatalf("the process is in %q, %v; want /%s", own, err, path)
	}
	g, err := cgroup.At(tree, path)
	must(t, err)
	defer g.Close()
	must(t, g.Set(limits))
	if got, err := g.Get(limits); err != nil || !got.Equal(limits) {
		t.Errorf("the kernel has %+v, %v", got, err)
	}
	limits.Pids.Max = spec.NewLimit(88)
	must(t, SetScope(t.Context(), s, limits))
	if text, err := os.ReadFile(filepath.Join(tree.Unified, path, "pids.max")); strings.TrimSpace(string(text)) != "88" {
		t.Errorf("systemd leaves pids.max %q, %v", text, err)
	}
	rare := spec.Resources{Hugetlb: spec.Hugetlb{Max: map[string]spec.Limit{"2MB": spec.NewLimit(0)}}}
	if err := g.Set(rare); feature.Hugetlb.Probe() != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a limit of a controller that systemd does not delegate: %v", err)
	}
	for range 2 {
		must(t, StopScope(t.Context(), s))
	}
	if _, err := os.Stat(filepath.Join(tree.Unified, path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after it was stopped: %v", err)
	}
}
