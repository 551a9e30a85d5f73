package feature

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
)

// What control groups can do.
var (
	CgroupV2 = &Feature{
		Name: "cgroup2", Since: "4.5", Purpose: "the tree containers live in",
		Remedy: "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified",
		probe:  func() error { _, err := tree(); return err },
	}
	CgroupKill = &Feature{
		Name: "cgroup.kill", Since: "5.14", Purpose: "killing a container as a whole",
		Remedy: "run a kernel from Linux 5.14 on",
		probe:  func() error { return inProbeGroup(func(dir string) error { return fileIn(dir, "cgroup.kill") }) },
	}
	CgroupXattrs = &Feature{
		Name: "user-xattrs", Since: "5.7", Purpose: "identities that survive a lost record",
		Remedy: "run a kernel from Linux 5.7 on",
		probe: func() error {
			return inProbeGroup(func(dir string) error { return unix.Setxattr(dir, "user.reconciler.probe", []byte("1"), 0) })
		},
	}
	Memory = controller("memory", "boot without cgroup_disable=memory; mount the controller as v1 or leave it to cgroup2")
	CPU    = controller("cpu", "leave the controller to cgroup2 or mount it as v1")
	Pids   = controller("pids", "leave the controller to cgroup2 or mount it as v1")
	Cpuset = controller("cpuset", "leave the controller to cgroup2 or mount it as v1")
	IO     = controller("io", "leave the controller to cgroup2 or mount it as v1 blkio")
	Swap   = &Feature{
		Name: "swap", Since: "5.14", Purpose: "resources.memory.swap",
		Remedy: "boot with swapaccount=1",
		probe: func() error {
			return inControllerGroup("memory", "memory.swap.max", "memory.memsw.limit_in_bytes")
		},
	}
	Hugetlb = rare("hugetlb")
	RDMA    = rare("rdma")
	Misc    = rare("misc")
	NetCls  = onlyV1("net_cls", "netCls")
	NetPrio = onlyV1("net_prio", "netPrio")
	// DevicePrograms is about cgroup2; where they are missing, a v1 devices hierarchy does as well.
	DevicePrograms = &Feature{
		Name: "device-programs", Since: "4.15", Purpose: "devices and deviceRules on cgroup v2",
		Remedy: "run a kernel with CONFIG_CGROUP_BPF, or mount the devices controller as v1",
		probe: func() error {
			err := cgroup.ProbeDevicePrograms()
			if errors.Is(err, errors.ErrUnsupported) {
				return because("%v", err)
			}
			return err
		},
	}
	MemoryReclaim = &Feature{
		Name: "memory.reclaim", Since: "5.19", Purpose: "lowering memory.max below what is in use",
		Remedy: "run a kernel from Linux 5.19 on; cgroup v1 reclaims by itself",
		probe:  func() error { return inControllerGroup("memory", "memory.reclaim", "memory.limit_in_bytes") },
	}
	Pressure = &Feature{
		Name: "pressure", Since: "4.20", Purpose: "pressure figures and events",
		Remedy: "boot with psi=1",
		probe: func() error {
			_, err := os.ReadFile("/proc/pressure/memory")
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EOPNOTSUPP) {
				return because("pressure stall information is built out or switched off")
			}
			return err
		},
	}
)

func tree() (cgroup.Tree, error) {
	t, err := cgroup.Detect()
	if errors.Is(err, cgroup.ErrNoUnified) {
		return t, because("no cgroup2 file system is mounted")
	}
	return t, err
}

func controller(name, remedy string) *Feature {
	return &Feature{
		Name: "cgroup-" + name, Since: "4.15", Purpose: "resources." + name, Remedy: remedy,
		probe: func() error {
			t, err := tree()
			if err != nil {
				return err
			}
			return lacking(t, name)
		},
	}
}

// lacking says why a host has not got a controller.
func lacking(t cgroup.Tree, name string) error {
	err := t.Available()[name]
	if lacking, ok := errors.AsType[*cgroup.ControllerError](err); ok && lacking.Err != nil {
		return because("%v", lacking.Err)
	}
	if err != nil {
		return because("%v", err)
	}
	return nil
}

// rare is a controller that systemd does not hand down to units, whatever they are delegated (systemd.resource-control(5), Delegate=).
func rare(name string) *Feature {
	f := controller(name, "run a kernel with CONFIG_CGROUP_"+strings.ToUpper(name))
	mounted := f.probe
	f.probe = func() error {
		if err := mounted(); err != nil {
			return err
		}
		t, err := tree()
		if err != nil || t.V1[name] != "" || Systemd.Probe() != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(t.Unified, "system.slice", "cgroup.subtree_control")) // above the scope
		if err == nil && !slices.Contains(strings.Fields(string(text)), name) {
			return &reason{"systemd does not hand it down to its units", "give the agent a cgroup that is none of systemd's: run --cgroup-parent /reconciler"}
		}
		return err
	}
	return f
}

// onlyV1 is a controller that cgroup v2 has in another form, or not at all.
func onlyV1(name, purpose string) *Feature {
	f := controller(name, "mount -t cgroup -o "+name+" cgroup /sys/fs/cgroup/"+name+"; with cgroup v2, nftables tells containers apart by their cgroup")
	f.Purpose = "resources." + purpose
	return f
}

// inProbeGroup runs f on a cgroup v2 directory that is removed again.
func inProbeGroup(f func(dir string) error) error {
	t, err := tree()
	if err != nil {
		return err
	}
	return inGroupBelow(t.Unified, f)
}

func inGroupBelow(dir string, f func(dir string) error) (err error) {
	probe, err := os.MkdirTemp(dir, "reconciler-probe-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Rmdir(probe)) }()
	return f(probe)
}

// inControllerGroup looks for a file of a controller: its v2 name where cgroup2 has the controller and
// hands it down, or its v1 name where it is mounted as v1.
func inControllerGroup(name, v2, v1 string) error {
	t, err := tree()
	if err != nil {
		return err
	}
	if err := lacking(t, name); err != nil {
		return err
	}
	if point := t.V1[name]; point != "" {
		return inGroupBelow(point, func(dir string) error { return fileIn(dir, v1) })
	}
	enabled, err := os.ReadFile(filepath.Join(t.Unified, "cgroup.subtree_control"))
	if err != nil {
		return err
	}
	if !strings.Contains(string(enabled), name) {
		return fmt.Errorf("the root of cgroup2 does not hand down %s yet", name)
	}
	return inGroupBelow(t.Unified, func(dir string) error { return fileIn(dir, v2) })
}

func fileIn(dir, name string) error {
	_, err := os.Stat(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.ErrUnsupported
	}
	return err
}
