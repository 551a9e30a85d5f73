package cgroup_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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

// keeps skips where a parent of the test's own cannot keep a limit. One of an agent under systemd may keep less, which is what the
// features tell.
func keeps(t *testing.T, p *cgroup.Parent, key string) {
	t.Helper()
	if err := p.Unsupported(samples[key][0]); err != nil {
		t.Skipf("skip: needs %s: %v", key, err)
	}
}

// v1Procs are the processes of a group in a v1 hierarchy; an error when the group is not in it.
func v1Procs(t *testing.T, p *cgroup.Parent, g *cgroup.Group, controller string) ([]string, error) {
	t.Helper()
	point := kerneltest.Tree(t).V1[controller]
	if point == "" {
		t.Skipf("skip: needs %s as a v1 hierarchy", controller)
	}
	text, err := os.ReadFile(filepath.Join(point, p.Name(), g.String(), "cgroup.procs"))
	return strings.Fields(string(text)), err
}

// A hierarchy that few limits need is entered with the first one, by every process there is, those of a shell that forks all the time
// included, and by those that are started later.
func TestAHierarchyIsEnteredWithItsFirstLimit(t *testing.T) {
	kerneltest.Require(t, feature.Cpuset)
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	must(t, g.Set(samples["pids.max"][0]))
	start(t, g, "while :; do (:); done & (while :; do (:); done) & echo ready; while :; do (:); done")
	if procs, err := v1Procs(t, p, g, "cpuset"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a limit of it the group is in cpuset: %v, %v", procs, err)
	}
	must(t, groupOf(t, p, "web", 1).Set(samples["cpuset.cpus"][0]))
	start(t, g, "echo ready; sleep 1000")
	must(t, g.Freeze(t.Context()))
	all, err := g.Procs()
	must(t, err)
	in, err := v1Procs(t, p, g, "cpuset")
	must(t, err)
	for _, pid := range all {
		if !slices.Contains(in, strconv.Itoa(pid)) {
			t.Errorf("process %d of %v is not in cpuset: %v", pid, all, in)
		}
	}
	must(t, g.Kill())
}

// Controllers of v2 that few limits need are handed down with the first one.
func TestAControllerIsHandedDownWithItsFirstLimit(t *testing.T) {
	if kerneltest.Tree(t).V1["hugetlb"] != "" {
		t.Skip("skip: needs hugetlb on cgroup v2")
	}
	p := kerneltest.Cgroups(t)
	keeps(t, p, "hugetlb.max")
	g := created(t, p, "web", 1)
	start(t, g, "echo ready; sleep 1000")
	has := func() bool {
		text, err := os.ReadFile(filepath.Join(g.Path(), "cgroup.controllers"))
		must(t, err)
		return slices.Contains(strings.Fields(string(text)), "hugetlb")
	}
	if has() {
		t.Error("hugetlb is handed down to a group without a limit of it")
	}
	must(t, g.Set(samples["hugetlb.max"][0]))
	if !has() {
		t.Error("hugetlb is not handed down")
	}
	unknown := spec.Resources{Hugetlb: spec.Hugetlb{Max: map[string]spec.Limit{"3MB": spec.NewLimit(0)}}}
	var lacking *cgroup.ControllerError
	if err := g.Set(unknown); !errors.As(err, &lacking) || lacking.File != "hugetlb.3MB.max" {
		t.Errorf("a size of pages there is not: %v", err)
	}
}

// A disk with the BFQ scheduler takes weights of its own.
func TestDeviceWeights(t *testing.T) {
	kerneltest.Require(t, feature.IO)
	disk := bfqDisk(t) // the kernel may load BFQ only now
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	said := spec.Resources{IO: spec.IO{DeviceWeights: map[string]uint64{disk: 1000}}}
	if err := p.Unsupported(said); err != nil {
		t.Skipf("skip: needs BFQ: %v", err)
	}
	for range 2 {
		must(t, g.Set(said))
		if got, err := g.Get(said); err != nil || !got.Equal(p.Wanted(said)) {
			t.Errorf("read %+v, %v", got.IO, err)
		}
	}
	must(t, g.Set(spec.Resources{}))
	if got, err := g.Get(said); err != nil || got.IO.DeviceWeights[disk] != 0 {
		t.Errorf("after it left the manifest: %+v, %v", got.IO, err)
	}
}

// bfqDisk is a loop device with the BFQ scheduler, by its path.
func bfqDisk(t *testing.T) string {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("skip: needs loop devices")
	}
	must(t, err)
	defer control.Close()
	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	must(t, err)
	name := "loop" + strconv.Itoa(number)
	backing, err := os.CreateTemp(t.TempDir(), "disk")
	must(t, err)
	defer backing.Close()
	must(t, backing.Truncate(1<<20))
	disk, err := os.OpenFile("/dev/"+name, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { _ = disk.Close() })
	must(t, unix.IoctlSetInt(int(disk.Fd()), unix.LOOP_SET_FD, int(backing.Fd())))
	scheduler := "/sys/block/" + name + "/queue/scheduler"
	before, err := os.ReadFile(scheduler)
	must(t, err)
	t.Cleanup(func() {
		_, chosen, _ := strings.Cut(string(before), "[")
		chosen, _, _ = strings.Cut(chosen, "]")
		_ = os.WriteFile(scheduler, []byte(chosen), 0)
		_ = unix.IoctlSetInt(int(disk.Fd()), unix.LOOP_CLR_FD, 0)
	})
	if err := os.WriteFile(scheduler, []byte("bfq"), 0); errors.Is(err, unix.EINVAL) {
		t.Skip("skip: needs BFQ: the kernel has no such scheduler")
	} else if err != nil {
		t.Fatal(err)
	}
	return "/dev/" + name
}

// The limit of huge pages holds: two of 2 MiB fit into 5 MiB, a third does not.
func TestHugePagesAreLimited(t *testing.T) {
	p := kerneltest.Cgroups(t)
	keeps(t, p, "hugetlb.max")
	const pool = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
	before, err := os.ReadFile(pool)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("skip: needs huge pages of 2 MiB")
	}
	must(t, err)
	number, err := strconv.Atoi(strings.TrimSpace(string(before)))
	must(t, err)
	t.Cleanup(func() { must(t, os.WriteFile(pool, before, 0)) })
	must(t, os.WriteFile(pool, []byte(strconv.Itoa(number+4)), 0))
	if now, err := os.ReadFile(pool); strings.TrimSpace(string(now)) != strconv.Itoa(number+4) {
		t.Skipf("skip: needs memory that is free in one piece: %s huge pages, %v", now, err)
	}
	dir := t.TempDir()
	must(t, unix.Mount("hugetlbfs", dir, "hugetlbfs", 0, "pagesize=2M"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })

	g := created(t, p, "web", 1)
	must(t, g.Set(samples["hugetlb.max"][0]))
	start(t, g, "cd "+dir+`; for file in a b c; do /bin/busybox fallocate -l 2097152 $file && echo $file; done 2>&- >/dev/null; echo ready; sleep 1000`)
	var usage []string
	for _, file := range []string{"a", "b", "c"} {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(dir, file), &st) == nil && st.Blocks > 0 {
			usage = append(usage, file)
		}
	}
	if strings.Join(usage, "") != "ab" {
		t.Errorf("with a limit of two pages, pages were got by %v", usage)
	}
	must(t, g.Kill())
}
