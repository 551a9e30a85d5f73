package mount

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Every word a manifest may say has a row here, and takes effect.
func TestEveryWordHasARow(t *testing.T) {
	if got := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, slices.Sorted(slices.Values(spec.MountTypes))) {
		t.Errorf("types: %q", got)
	}
	for _, word := range slices.Concat(spec.MountFlags...) {
		for kind := range kinds {
			m := kinds[kind]
			if err := m.apply(word); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
	for _, word := range slices.Concat(spec.BindFlags...) {
		bind, tmpfs := kinds["bind"], kinds["tmpfs"]
		if err := bind.apply(word); err != nil {
			t.Error(err)
		}
		if err := tmpfs.apply(word); err == nil {
			t.Errorf("tmpfs takes %s", word)
		}
	}
	for _, key := range spec.TmpfsOptions {
		bind, tmpfs := kinds["bind"], kinds["tmpfs"]
		tmpfs.Config = nil
		if err := tmpfs.apply(key + "=700"); err != nil || !slices.Equal(tmpfs.Config, []Setting{{key, "700"}}) {
			t.Errorf("%s: %v %v", key, tmpfs.Config, err)
		}
		if err := bind.apply(key + "=700"); err == nil {
			t.Errorf("bind takes %s", key)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		words      string
		set, clear uint64
		bind       Bind
	}{
		{"", 0, 0, Bind{Propagation: unix.MS_PRIVATE}},
		{"ro nosuid", unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID, 0, Bind{Propagation: unix.MS_PRIVATE}},
		{"ro rw", 0, unix.MOUNT_ATTR_RDONLY, Bind{Propagation: unix.MS_PRIVATE}},
		{"rw ro", unix.MOUNT_ATTR_RDONLY, 0, Bind{Propagation: unix.MS_PRIVATE}},
		{"rbind rslave", 0, 0, Bind{Recursive: true, Propagation: unix.MS_SLAVE}},
		{"noatime", unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR__ATIME, Bind{Propagation: unix.MS_PRIVATE}},
		{"noatime relatime", 0, unix.MOUNT_ATTR__ATIME, Bind{Propagation: unix.MS_PRIVATE}},
		{"shared bind exec", 0, unix.MOUNT_ATTR_NOEXEC, Bind{Propagation: unix.MS_SHARED}},
	} {
		m := kinds["bind"]
		for word := range strings.FieldsSeq(tt.words) {
			if err := m.apply(word); err != nil {
				t.Error(err)
			}
		}
		if m.Set != tt.set || m.Clear != tt.clear || m.Bind != tt.bind {
			t.Errorf("%q: set %#x clear %#x bind %+v", tt.words, m.Set, m.Clear, m.Bind)
		}
	}
}

func TestRefusedMounts(t *testing.T) {
	for _, tt := range []struct {
		mount spec.Mount
		why   string
	}{
		{spec.Mount{Type: "nfs", Destination: "/a"}, "unknown type"},
		{spec.Mount{Type: "tmpfs", Destination: "a"}, "absolute path below /"},
		{spec.Mount{Type: "tmpfs", Destination: "/"}, "absolute path below /"},
		{spec.Mount{Type: "tmpfs", Destination: "/a/../.."}, "absolute path below /"},
		{spec.Mount{Type: "bind", Destination: "/a"}, "absolute source"},
		{spec.Mount{Type: "bind", Destination: "/a", Source: "b"}, "absolute source"},
		{spec.Mount{Type: "tmpfs", Destination: "/a", Source: "/b"}, "absolute source"},
		{spec.Mount{Type: "tmpfs", Destination: "/proc"}, "only proc is mounted there"},
		{spec.Mount{Type: "bind", Source: "/x", Destination: "/a/../proc/"}, "only proc is mounted there"},
		{spec.Mount{Type: "bind", Source: "/sys", Destination: "/sys"}, "only sysfs"},
		{spec.Mount{Type: "bind", Source: "/dev", Destination: "/dev"}, "only tmpfs"},
		{spec.Mount{Type: "tmpfs", Destination: "/dev/pts"}, "only devpts"},
		{spec.Mount{Type: "proc", Destination: "/elsewhere"}, "masked in the one place"},
		{spec.Mount{Type: "sysfs", Destination: "/elsewhere"}, "masked in the one place"},
		{spec.Mount{Type: "bind", Source: "/x", Destination: "/proc/self/attr/exec"}, "below /proc only these"},
		{spec.Mount{Type: "tmpfs", Destination: "/proc/sys/kernel"}, "below /proc only these"},
		{spec.Mount{Type: "tmpfs", Destination: "/a", Options: []string{"upperdir=/"}}, "unknown option"},
		{spec.Mount{Type: "tmpfs", Destination: "/a", Options: []string{"size"}}, "unknown option"},
		{spec.Mount{Type: "tmpfs", Destination: "/a", Options: []string{"size=1Mi,uid=0"}}, "bad value"},
		{spec.Mount{Type: "tmpfs", Destination: "/a", Options: []string{"mode=8"}}, "bad value"},
		{spec.Mount{Type: "mqueue", Destination: "/a", Options: []string{"size=1"}}, "only a tmpfs"},
		{spec.Mount{Type: "tmpfs", Destination: "/a", Options: []string{"shared"}}, "only a bind"},
	} {
		_, err := NewPlan(spec.Container{Spec: spec.ContainerSpec{Mounts: []spec.Mount{tt.mount}}}, Facts{})
		if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%+v: %v, want %q", tt.mount, err, tt.why)
		}
	}
}

func TestOrder(t *testing.T) {
	plan, err := NewPlan(spec.Container{Spec: spec.ContainerSpec{Mounts: []spec.Mount{
		{Type: "tmpfs", Destination: "/dev/x"},
		{Type: "bind", Source: "/s", Destination: "/b"},
		{Type: "tmpfs", Destination: "/dev/", Options: []string{"size=1Mi"}},
		{Type: "tmpfs", Destination: "/a"},
		{Type: "bind", Source: "/s", Destination: "/dev/shm"},
	}}}, Facts{Directories: []bool{false, true}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range plan.Mounts {
		got = append(got, m.Destination)
	}
	if want := strings.Fields("/b /a /proc /sys /dev /dev/pts /dev/shm /dev/mqueue /sys/fs/cgroup /dev/x"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	dev := plan.Mounts[4]
	if want := []Setting{{"mode", "0755"}, {"size", "1M"}}; !slices.Equal(dev.Config, want) || dev.Set&unix.MOUNT_ATTR_NODEV != 0 || !dev.Devices || !dev.Ordinary {
		t.Errorf("/dev is %+v", dev)
	}
	if b := plan.Mounts[0].Bind; b.File != "bind1" || !b.Directory {
		t.Errorf("/b is %+v", b)
	}
}

func TestRefusedSysctls(t *testing.T) {
	for name, why := range map[string]string{
		"kernel.core_pattern":       "belongs to the node",
		"vm.swappiness":             "belongs to the node",
		"kernel.hostname":           "belongs to the node",
		"net":                       "belongs to the node",
		"net/ipv4.ip_forward":       "belongs to the node",
		"net.//.kernel.core":        "bad name",
		"net.//":                    "bad name",
		"net..x":                    "bad name",
		"fs.mqueue.":                "bad name",
		"fs.mqueue.//./core":        "bad name",
		"../kernel.core_pattern":    "bad name",
		"net.ipv4.//.kernel.sysrq/": "bad name",
	} {
		_, err := newSysctls(map[string]string{name: "1"}, spec.NetworkPrivate)
		if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", name, err, why)
		}
	}
	if _, err := newSysctls(map[string]string{"net.core.somaxconn": "1"}, spec.NetworkHost); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("the node's network: %v", err)
	}
	if f := (Sysctl{Name: "net.ipv4.conf.eth0/1.forwarding"}).file(); f != "sys/net/ipv4/conf/eth0.1/forwarding" {
		t.Error(f)
	}
}

// Programs of the largest manifests pass the starter's check, and equal plans give equal programs.
func TestProgramIsWellFormed(t *testing.T) {
	c := spec.Defaulted(spec.Container{}, spec.DefaultsVersion)
	for range 200 {
		c.Spec.Mounts = append(c.Spec.Mounts, spec.Mount{Type: "bind", Source: "/s", Destination: "/a/b/c/d/e"})
	}
	plan, err := NewPlan(c, Facts{})
	if err != nil {
		t.Fatal(err)
	}
	var p, q process.Program
	Append(&p, plan)
	Append(&q, plan)
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	if p.String() != q.String() {
		t.Error("equal plans, different programs")
	}
}
