package mount

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Every word a manifest may say has a row here, and takes effect.
func TestEveryWordHasARow(t *testing.T) {
	for _, kind := range spec.MountTypes {
		if _, ok := newKind(kind, false); !ok {
			t.Errorf("no type %s", kind)
		}
		if _, own := kinds[kind]; own != spec.HasOwnOptions(kind) {
			t.Errorf("%s has options of its own: %v", kind, !own)
		}
		for _, word := range slices.Concat(spec.MountFlags...) {
			m, _ := newKind(kind, false)
			if err := m.apply(word, false); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		for _, word := range slices.Concat(spec.SuperFlags...) {
			m, _ := newKind(kind, false)
			if err := m.apply(word, false); (err == nil) == (kind == spec.MountBind) {
				t.Errorf("%s with %s: %v", kind, word, err)
			}
		}
		for _, word := range slices.Concat(spec.BindFlags...) {
			m, _ := newKind(kind, false)
			if err := m.apply(word, false); (err == nil) != (kind == spec.MountBind) {
				t.Errorf("%s with %s: %v", kind, word, err)
			}
		}
	}
	for kind, words := range spec.MountOptions {
		for _, key := range words {
			word, value, want := key, "700", []Setting{{key, "700"}}
			switch form, known := values[key]; {
			case key == "tmpcopyup":
				value, want = "", nil
			case !known:
				t.Errorf("%s has no form", key)
			case form == nil:
				value, want = "", []Setting{{key, ""}}
			case !form().MatchString(value):
				value, want = "never", []Setting{{key, "never"}}
			}
			if value != "" {
				word += "=" + value
			}
			for of := range kinds {
				m, _ := newKind(of, false)
				m.Config = nil
				err := m.apply(word, false)
				if has := slices.Contains(spec.MountOptions[of], key); (err == nil) != has || has && !slices.Equal(m.Config, want) {
					t.Errorf("%s with %s of %s: %v %v", of, word, kind, m.Config, err)
				}
			}
		}
	}
}

// ociWords are the options of the table in config.md of the OCI runtime-spec 1.3. It forgets rnodev.
const ociWords = `async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec
noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount rexec
rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime
rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap`

// Every option of the OCI's table is a word of ours, not one that is passed on to a file system.
func TestEveryOptionOfOCI(t *testing.T) {
	for word := range strings.FieldsSeq(ociWords) {
		known := 0
		for _, kind := range []string{"bind", "tmpfs"} {
			m, _ := newKind(kind, true)
			before := len(m.Config)
			if err := m.apply(word, true); err != nil {
				continue
			}
			known++
			for _, c := range m.Config[before:] {
				if _, ok := supers[c.Key]; !ok {
					t.Errorf("%s becomes the setting %s of a %s", word, c, kind)
				}
			}
		}
		if known == 0 {
			t.Errorf("no mount takes %s", word)
		}
	}
	for word := range flags {
		if !slices.Contains(strings.Fields(ociWords), word) || !slices.Contains(strings.Fields(ociWords), "r"+word) {
			t.Errorf("%s or r%s is not in the table", word, word)
		}
	}
}

func TestOptions(t *testing.T) {
	private, noatime := Propagation{unix.MS_PRIVATE, true}, uint64(unix.MOUNT_ATTR_NOATIME)
	for _, tt := range []struct {
		words       string
		one, all    Attr
		recursive   bool
		propagation Propagation
	}{
		{words: ""},
		{words: "defaults"},
		{words: "ro nosuid", one: Attr{Set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}},
		{words: "ro rw", one: Attr{Clear: unix.MOUNT_ATTR_RDONLY}},
		{words: "rw ro", one: Attr{Set: unix.MOUNT_ATTR_RDONLY}},
		{words: "rbind rslave", recursive: true, propagation: Propagation{unix.MS_SLAVE, true}},
		{words: "rbind slave", recursive: true, propagation: Propagation{unix.MS_SLAVE, false}},
		{words: "noatime", one: Attr{noatime, unix.MOUNT_ATTR__ATIME}},
		{words: "noatime relatime", one: Attr{Clear: unix.MOUNT_ATTR__ATIME}},
		{words: "noatime atime", one: Attr{Clear: unix.MOUNT_ATTR__ATIME}},
		{words: "noatime nostrictatime", one: Attr{noatime, unix.MOUNT_ATTR__ATIME}},
		{words: "strictatime norelatime", one: Attr{unix.MOUNT_ATTR_STRICTATIME, unix.MOUNT_ATTR__ATIME}},
		{words: "atime", one: Attr{Clear: unix.MOUNT_ATTR__ATIME}},
		{words: "shared bind exec", one: Attr{Clear: unix.MOUNT_ATTR_NOEXEC}, propagation: Propagation{unix.MS_SHARED, false}},
		{words: "ro rrw rnosuid", one: Attr{Set: unix.MOUNT_ATTR_RDONLY}, all: Attr{unix.MOUNT_ATTR_NOSUID, unix.MOUNT_ATTR_RDONLY}},
	} {
		m, _ := newKind("bind", false)
		for word := range strings.FieldsSeq(tt.words) {
			if err := m.apply(word, false); err != nil {
				t.Error(err)
			}
		}
		if tt.propagation == (Propagation{}) {
			tt.propagation = private
		}
		if m.Attr != tt.one || m.All != tt.all || m.Bind.Recursive != tt.recursive || m.Propagation != tt.propagation {
			t.Errorf("%q: %#x, all %#x, %+v, %+v", tt.words, m.Attr, m.All, m.Bind, m.Propagation)
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
		{spec.Mount{Type: "tmpfs", Destination: "/a", Options: []string{"rbind"}}, "only a bind"},
		{spec.Mount{Type: "tmpfs", Destination: "/a", Options: []string{"rro"}}, "only a bind"},
		{spec.Mount{Type: "tmpfs", Destination: "/a", Options: []string{"remount"}}, "unknown option"},
		{spec.Mount{Type: "bind", Source: "/b", Destination: "/a", Options: []string{"sync"}}, "only shows"},
		{spec.Mount{Type: "bind", Source: "/b", Destination: "/a", Options: []string{"idmap"}}, "a user namespace"},
		{spec.Mount{Type: "ext4", Destination: "/a", Source: "disk"}, "path of a device"},
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
	if want := []Setting{{"mode", "0755"}, {"size", "1M"}}; !slices.Equal(dev.Config, want) || dev.Attr.Set&unix.MOUNT_ATTR_NODEV != 0 || !dev.Devices || !dev.Ordinary {
		t.Errorf("/dev is %+v", dev)
	}
	if b := plan.Mounts[0]; b.File != "bind1" || !b.Bind.Directory {
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
		_, err := newSysctls(map[string]string{name: "1"}, spec.NetworkPrivate, false)
		if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", name, err, why)
		}
	}
	if _, err := newSysctls(map[string]string{"net.core.somaxconn": "1"}, spec.NetworkHost, true); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("the node's network: %v", err)
	}
	for tunes, want := range map[bool]error{true: nil, false: fs.ErrInvalid} {
		if _, err := newSysctls(map[string]string{"net.core.somaxconn": "1"}, spec.NetworkJoin, tunes); !errors.Is(err, want) {
			t.Errorf("another's network, tunes %v: %v", tunes, err)
		}
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
