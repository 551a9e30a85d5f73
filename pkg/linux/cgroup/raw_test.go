package cgroup_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func raw(pairs ...string) (r spec.Resources) {
	r.Unified = map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		r.Unified[pairs[i]] = pairs[i+1]
	}
	return r
}

// Raw files are written, read back as they were said although the kernel prints them in its own way, seen when they drift, and given back what
// they had.
func TestRawFiles(t *testing.T) {
	kerneltest.Require(t, feature.Pids)
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	file := func(name string) string {
		text, err := os.ReadFile(filepath.Join(g.Path(), name))
		must(t, err)
		return strings.TrimSpace(string(text))
	}
	same := func(said spec.Resources) {
		t.Helper()
		if got, err := g.Get(said); err != nil || !got.Equal(p.Wanted(said)) {
			t.Errorf("read %v, %v; wanted %v", got.Unified, err, p.Wanted(said).Unified)
		}
	}
	before := file("cgroup.max.depth")
	said := raw("cgroup.max.depth", "07", "pids.max", "0x20")
	for range 2 {
		must(t, g.Set(said))
		same(said)
		if got := file("cgroup.max.depth"); got != "7" {
			t.Errorf("cgroup.max.depth is %q", got)
		}
	}
	g = groupOf(t, p, "web", 1) // another agent
	same(said)
	must(t, os.WriteFile(filepath.Join(g.Path(), "cgroup.max.depth"), []byte("3"), 0))
	if got, err := g.Get(said); err != nil || got.Unified["cgroup.max.depth"] != "3" || got.Equal(p.Wanted(said)) {
		t.Errorf("drift: %v, %v", got.Unified, err)
	}
	must(t, g.Set(said))
	same(said)
	said = raw("cgroup.max.depth", "9")
	must(t, g.Set(said))
	same(said)
	must(t, g.Set(spec.Resources{}))
	if got := file("cgroup.max.depth"); got != before {
		t.Errorf("it had %q, and is given back %q", before, got)
	}
	if got, err := g.Get(samples["pids.max"][0]); err != nil || got.Pids.Max != spec.MaxLimit() {
		t.Errorf("pids.max is left %v, %v", got.Pids, err)
	}
}

// What is no limit, or not there, or said elsewhere as well, is refused, and nothing is changed.
func TestRefusedRawFiles(t *testing.T) {
	kerneltest.Require(t, feature.Pids)
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	for file, kind := range map[string]error{
		"cgroup.procs": fs.ErrInvalid, "cgroup.freeze": fs.ErrInvalid, "cgroup.subtree_control": fs.ErrInvalid, "devices.allow": fs.ErrInvalid,
		"tasks": fs.ErrInvalid, "../pids.max": fs.ErrInvalid, "pids.max/..": fs.ErrInvalid, "a.b\n": errors.ErrUnsupported,
		"nosuch.max": errors.ErrUnsupported, "pids.nosuch": errors.ErrUnsupported,
	} {
		if file == "a.b\n" {
			kind = fs.ErrInvalid
		}
		if err := g.Set(raw(file, "1", "cgroup.max.depth", "5")); !errors.Is(err, kind) {
			t.Errorf("%q: %v, want %v", file, err, kind)
		}
	}
	if err := g.Set(raw("pids.max", "x", "cgroup.max.depth", "5")); err == nil {
		t.Error("a text that the kernel refuses is accepted")
	}
	both := raw("pids.max", "5")
	both.Pids.Max = spec.NewLimit(6)
	if err := g.Set(both); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "pids.max says something else") {
		t.Errorf("said twice: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(g.Path(), "cgroup.max.depth")); string(text) != "max\n" || err != nil {
		t.Errorf("afterwards cgroup.max.depth is %q, %v", text, err)
	}
	var lacking *cgroup.ControllerError
	if err := p.Unsupported(raw("nosuch.max", "1")); !errors.As(err, &lacking) || lacking.Controller != "nosuch" {
		t.Errorf("Unsupported: %v", err)
	}
}

// Two words of one kernel file cannot both be said.
func TestExclusiveLimits(t *testing.T) {
	kerneltest.Require(t, feature.CPU)
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	for _, said := range []spec.CPU{{Weight: 50, Shares: 1024}, {Weight: 50, Idle: true}, {Shares: 50, Idle: true}} {
		if err := g.Set(spec.Resources{CPU: said}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%+v: %v", said, err)
		}
	}
	for _, said := range []spec.CPU{{Weight: 50}, {Idle: true}, {Shares: 512}, {Idle: true}, {}, {Weight: 7}} { // each after each other
		r := spec.Resources{CPU: said}
		must(t, g.Set(r))
		if got, err := g.Get(r); err != nil || !got.Equal(p.Wanted(r)) {
			t.Errorf("%+v reads %+v, %v", said, got.CPU, err)
		}
	}
}
