package cgroup_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const mebi = 1 << 20

// instead are the leaves that exclude others, or that not every host has something for.
var instead = []string{"cpu.shares", "cpu.idle", "io.blkioWeight", "io.deviceWeights", "io.latency", "rdma.max", "misc.max"}

// everything says something in every leaf this host keeps, but for those that exclude others.
func everything(t *testing.T, p *cgroup.Parent) (all spec.Resources) {
	t.Helper()
	for key, sample := range samples {
		if p.Unsupported(sample[0]) == nil && !slices.Contains(instead, key) {
			merge(reflect.ValueOf(&all).Elem(), reflect.ValueOf(sample[0]), key)
		}
	}
	return all
}

func merge(into, from reflect.Value, key string) {
	for _, i := range leafIndexes(from.Type(), key) {
		into, from = into.Field(i), from.Field(i)
	}
	into.Set(from)
}

// leafIndexes finds the fields that a key such as memory.max leads through, by their names in a manifest.
func leafIndexes(t reflect.Type, key string) (indexes []int) {
	for part := range strings.SplitSeq(key, ".") {
		for i := range t.NumField() {
			if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name == part {
				indexes = append(indexes, i)
				t = t.Field(i).Type
				break
			}
		}
	}
	return indexes
}

// leaves are the keys of all values in a struct: fields that are not words of a manifest themselves.
func leaves(t reflect.Type, prefix string) (keys []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Type.Kind() == reflect.Struct && f.Type.NumField() > 0 && f.Type.Field(0).Tag.Get("json") != "" {
			keys = append(keys, leaves(f.Type, prefix+name+".")...)
		} else {
			keys = append(keys, prefix+name)
		}
	}
	return keys
}

func TestEveryLimitOfAManifestHasARow(t *testing.T) {
	var rows []string
	for _, r := range cgroup.Rows() {
		rows = append(rows, r.Key)
		if len(leafIndexes(reflect.TypeFor[spec.Resources](), r.Key)) != 2 || r.V2 == "" && r.V1 == "" {
			t.Errorf("row %+v: its key is none of spec.Resources", r)
		}
		if _, ok := samples[r.Key]; !ok {
			t.Errorf("row %s has no sample in this test", r.Key)
		}
	}
	keys := slices.DeleteFunc(leaves(reflect.TypeFor[spec.Resources](), ""), func(key string) bool { return key == "unified" }) // see raw.go
	if len(keys) < 30 {
		t.Fatalf("found only %v", keys)
	}
	for _, key := range keys {
		if !slices.Contains(rows, key) {
			t.Errorf("spec.Resources has %s: add a row to the table in table.go", key)
		}
	}
	if len(keys) != len(rows) {
		t.Errorf("%d rows for %d leaves", len(rows), len(keys))
	}
}

// Every row that this host keeps: set, read back as wanted, changed, reset to what a new cgroup has.
func TestEveryLimit(t *testing.T) {
	p := kerneltest.Cgroups(t)
	for i, r := range cgroup.Rows() {
		t.Run(r.Key, func(t *testing.T) {
			if err := p.Unsupported(samples[r.Key][0]); err != nil {
				refuses(t, created(t, p, "refused", uint64(i)), samples[r.Key][0], err)
				t.Skipf("skip: needs %s: %v", r.Key, err)
			}
			g := created(t, p, "web", uint64(i))
			for _, said := range samples[r.Key] {
				for range 2 {
					if err := g.Set(said); lacksObject(r.Key, err) {
						t.Skipf("skip: needs something to limit: %v", err)
					} else if err != nil {
						t.Fatal(err)
					}
				}
				got, err := g.Get(said)
				must(t, err)
				if wanted := p.Wanted(said); !got.Equal(wanted) || got.IsZero() {
					t.Errorf("Set(%+v)\nread   %+v\nwanted %+v", said, got, wanted)
				}
			}
			if nothing, err := g.Get(spec.Resources{}); err != nil || !nothing.IsZero() {
				t.Errorf("Get of an empty mask = %+v, %v", nothing, err)
			}
			must(t, groupOf(t, p, "web", uint64(i)).Set(spec.Resources{}))
			fresh := created(t, p, "web", 1000)
			if reset, fresh := read(t, p, g, r), read(t, p, fresh, r); reset != fresh {
				t.Errorf("after the limit left the manifest its file says %q, a new one %q", reset, fresh)
			}
			must(t, fresh.Remove(t.Context()))
		})
	}
}

// lacksObject tells that the kernel has the controller, and nothing of the kind that the sample is about: no RDMA device, no encrypted memory,
// no disk with a scheduler that has weights.
func lacksObject(key string, err error) bool {
	lacks := map[string]error{"rdma.max": unix.ENODEV, "misc.max": unix.EINVAL, "io.deviceWeights": unix.EOPNOTSUPP, "io.latency": unix.EOPNOTSUPP}[key]
	return lacks != nil && errors.Is(err, lacks)
}

// refuses checks that a limit the host lacks is refused by name, and that nothing else of the manifest is applied.
func refuses(t *testing.T, g *cgroup.Group, said spec.Resources, err error) {
	t.Helper()
	var lacking *cgroup.ControllerError
	if !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &lacking) || lacking.Controller == "" {
		t.Errorf("%v: want a *ControllerError", err)
	}
	if err := g.Set(said); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Set: %v", err)
	}
}

// read gives the text of a row's file, which is made where the group needed no such hierarchy.
func read(t *testing.T, p *cgroup.Parent, g *cgroup.Group, r cgroup.Row) string {
	t.Helper()
	path := filepath.Join(g.Path(), r.V2)
	v1 := r.Controller
	if v1 == "io" {
		v1 = "blkio"
	}
	if point := kerneltest.Tree(t).V1[v1]; point != "" {
		dir := filepath.Join(point, p.Name(), g.String())
		must(t, os.MkdirAll(dir, 0o755))
		path = filepath.Join(dir, r.V1)
	}
	text, err := os.ReadFile(strings.ReplaceAll(path, "SIZE", "2MB"))
	must(t, err)
	if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 1<<62 && strings.HasPrefix(r.Key, "hugetlb.") {
		return "max\n" // which the kernel says only when it was written
	}
	return string(text)
}

func TestAllLimitsAtOnceAndBackAndForth(t *testing.T) {
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	all := everything(t, p)
	larger, smaller := all, all
	larger.Memory.Max, smaller.Memory.Max = spec.NewLimit(512*mebi), spec.NewLimit(16*mebi)
	for _, said := range []spec.Resources{all, larger, smaller, larger, {}, all} {
		if p.Unsupported(said) != nil {
			t.Skip("skip: needs cgroup-memory: this host has no controller of it")
		}
		must(t, g.Set(said))
		if got, err := g.Get(said); err != nil || !got.Equal(p.Wanted(said)) {
			t.Errorf("read %+v, %v\nwanted %+v", got, err, p.Wanted(said))
		}
	}
}

func TestDriftIsSeenAndRepaired(t *testing.T) {
	kerneltest.Require(t, feature.Pids)
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	said := samples["pids.max"][0]
	must(t, g.Set(said))
	byHand := spec.Resources{Pids: spec.Pids{Max: spec.NewLimit(7)}}
	must(t, groupOf(t, p, "web", 1).Set(byHand))
	if got, err := g.Get(said); err != nil || got.Equal(p.Wanted(said)) {
		t.Errorf("read %+v, %v: the change is not seen", got, err)
	}
	must(t, g.Set(said))
	if got, err := g.Get(said); err != nil || !got.Equal(p.Wanted(said)) {
		t.Errorf("read %+v, %v: the change is not repaired", got, err)
	}
}

// On a host whose v2 has no controllers, and no v1, every limit is refused with the controller's name, and a
// container without limits still gets its cgroup.
func TestAHostWithoutControllers(t *testing.T) {
	tree := kerneltest.Tree(t)
	if text, err := os.ReadFile(filepath.Join(tree.Unified, "cgroup.controllers")); err != nil || strings.Contains(string(text), "memory") {
		t.Skip("skip: needs a cgroup2 without controllers: this one has them")
	}
	tree.V1 = nil
	p, err := cgroup.Open(cgroup.Config{Tree: tree, Parent: kerneltest.Parent(t)})
	must(t, err)
	defer p.Close()
	g := created(t, p, "web", 1)
	must(t, g.Set(spec.Resources{}))
	for key, sample := range samples {
		controller, _, _ := strings.Cut(key, ".")
		if controller == "hugetlb" || strings.HasPrefix(controller, "net") { // there, and not of v2
			continue
		}
		err := g.Set(sample[0])
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "controller "+controller+" not available") {
			t.Errorf("%s: %v", key, err)
		}
		if wanted := p.Wanted(sample[0]); !wanted.IsZero() {
			t.Errorf("%s: Wanted = %+v", key, wanted)
		}
	}
	if g.OOMFile() != "" {
		t.Errorf("OOMFile = %q", g.OOMFile())
	}
}

// A limit that the kernel refuses leaves all others as they were.
func TestARefusedLimitChangesNothing(t *testing.T) {
	kerneltest.Require(t, feature.Pids, feature.Cpuset)
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	before := spec.Resources{Pids: spec.Pids{Max: spec.NewLimit(50)}, CPU: spec.CPU{Weight: 200}}
	must(t, g.Set(before))
	for _, list := range []string{"60000", "0-x"} {
		refused := spec.Resources{Pids: spec.Pids{Max: spec.NewLimit(60)}, CPU: spec.CPU{Weight: 300}, Cpuset: spec.Cpuset{Mems: list}}
		if err := g.Set(refused); err == nil || !strings.Contains(err.Error(), "cpuset.mems of web/1") {
			t.Errorf("cpuset.mems %q: %v", list, err)
		}
		if got, err := g.Get(before); err != nil || !got.Equal(before) {
			t.Errorf("afterwards: %+v, %v; want %+v", got, err, before)
		}
	}
}

func TestMemoryInUseIsNotKilledFor(t *testing.T) {
	kerneltest.Require(t, feature.Memory)
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	large := spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(128 * mebi)}}
	must(t, g.Set(large))
	start(t, g, `x=$(head -c 30000000 /dev/zero | tr '\0' x); echo ready; while :; do sleep 1; done`)

	small := large
	small.Memory.Max = spec.NewLimit(8 * mebi)
	err := g.Set(small)
	var over *cgroup.UsageError
	if !errors.As(err, &over) || over.Usage <= over.Wanted || over.Wanted != 8*mebi {
		t.Errorf("lowering below what is in use: %v", err)
	}
	if got, err := g.Get(large); err != nil || !got.Equal(large) {
		t.Errorf("afterwards: %+v, %v", got, err)
	}
	want(t, g, cgroup.State{Populated: true})
	if kills, err := g.OOMKills(); kills != 0 || err != nil {
		t.Errorf("OOMKills = %d, %v", kills, err)
	}
}

// What the kernel can give back, the pages of files, is no reason to refuse.
func TestMemoryOfFilesIsGivenBack(t *testing.T) {
	kerneltest.Require(t, feature.Memory, feature.MemoryReclaim)
	dir := t.TempDir()
	var st unix.Statfs_t
	must(t, unix.Statfs(dir, &st))
	if st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC {
		t.Skip("skip: needs a disk: the temporary directory is in memory")
	}
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	must(t, g.Set(spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(128 * mebi)}}))
	start(t, g, "dd if=/dev/zero of="+dir+"/file bs=1M count=30 2>/dev/null; sync; echo ready; sleep 1000")
	small := spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(8 * mebi)}}
	must(t, g.Set(small))
	if got, err := g.Get(small); err != nil || !got.Equal(small) {
		t.Errorf("read %+v, %v", got, err)
	}
	want(t, g, cgroup.State{Populated: true})
}

func TestOOMKillsAreCounted(t *testing.T) {
	kerneltest.Require(t, feature.Memory)
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	said := spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(8 * mebi)}}
	if swap := (spec.Resources{Memory: spec.Memory{Swap: spec.NewLimit(0)}}); p.Unsupported(swap) == nil {
		said.Memory.Swap = swap.Memory.Swap
	}
	must(t, g.Set(said))
	start(t, g, `x=$(head -c 30000000 /dev/zero | tr '\0' x); sleep 1000`)
	must(t, g.Wait(t.Context(), func(s cgroup.State) bool { return !s.Populated }))
	if kills, err := g.OOMKills(); kills == 0 || err != nil {
		t.Errorf("OOMKills = %d, %v", kills, err)
	}
}

func TestPidsLimitHolds(t *testing.T) {
	kerneltest.Require(t, feature.Pids)
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	must(t, g.Set(spec.Resources{Pids: spec.Pids{Max: spec.NewLimit(3)}}))
	start(t, g, "sleep 1000 & sleep 1000 & echo ready; sleep 1000 & wait")
	pids, err := g.Procs()
	must(t, err)
	if len(pids) > 3 {
		t.Errorf("%d processes", len(pids))
	}
}
