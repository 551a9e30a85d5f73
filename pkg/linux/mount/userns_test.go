package mount_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ids are those of a container with a user namespace.
var ids = mount.IDMap{
	UIDs: []spec.IDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}},
	GIDs: []spec.IDMapping{{ContainerID: 0, HostID: 200000, Size: 65536}},
}

// owned is a rootfs with files of several owners.
func owned(t *testing.T, dirs ...string) string {
	root := newRootfs(t, dirs...)
	must(t, os.WriteFile(root+"/mine", []byte("root's\n"), 0o600))
	must(t, os.WriteFile(root+"/theirs", []byte("user's\n"), 0o600))
	must(t, os.Chown(root+"/theirs", 1000, 1001))
	must(t, os.WriteFile(root+"/beyond", nil, 0o600))
	must(t, os.Chown(root+"/beyond", 70000, 70000))
	return root
}

// In a user namespace the container's superuser owns what the rootfs's superuser owns, and what is made for the container;
// on the node it is nobody's.
func TestUserNamespace(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	for name, root := range map[string]spec.Rootfs{
		"writable": {}, "read-only": {ReadOnly: true}, "direct": {Writable: spec.Writable{Medium: spec.MediumDirect}},
	} {
		t.Run(name, func(t *testing.T) {
			dirs := []string(nil)
			if root.ReadOnly {
				dirs = []string{"proc", "sys", "dev", "made/here", "etc"}
			}
			dir := owned(t, dirs...)
			c := container(dir, func(s *spec.ContainerSpec) {
				root.Path = dir
				s.Rootfs = root
				s.Mounts = []spec.Mount{{Type: "tmpfs", Destination: "/made/here", Options: []string{"uid=5", "gid=6", "mode=700"}}}
				s.TTY = true
			})
			got, err := runWith(t, c, mount.Facts{IDs: ids}, `busybox head -n 1 /proc/self/uid_map | busybox awk '{print $1, $2, $3}'
cd /; busybox cat mine; busybox stat -c '%n %u:%g' mine theirs beyond / made made/here dev dev/null dev/fd dev/shm dev/mqueue dev/pts dev/pts/ptmx dev/console
echo x > /dev/null && echo null; busybox umount /proc 2> /dev/null || echo locked
{ busybox touch /new && busybox mkdir /dir && busybox chown 7:8 /new && busybox stat -c '%n %u:%g' /new /dir; } 2> /dev/null
busybox rm /theirs 2> /dev/null; [ -e /theirs ] && echo still there; busybox touch /theirs 2> /dev/null && busybox stat -c '%n %u:%g' /theirs`)
			must(t, err)
			want := `0 100000 65536
root's
mine 0:0
theirs 1000:1001
beyond 65534:65534
/ 0:0
made 0:0
made/here 5:6
dev 0:0
dev/null 0:0
dev/fd 0:0
dev/shm 0:0
dev/mqueue 0:0
dev/pts 0:0
dev/pts/ptmx 0:0
dev/console 0:5
null
locked
`
			if root.ReadOnly {
				want += "still there"
			} else {
				want += "/new 7:8\n/dir 0:0\n/theirs 0:0"
			}
			same(t, "inside", got, want)
			if root.Writable.Medium == spec.MediumDirect {
				var st unix.Stat_t
				must(t, unix.Stat(dir+"/new", &st))
				if st.Uid != 7 || st.Gid != 8 {
					t.Errorf("the rootfs's new file belongs to %d:%d", st.Uid, st.Gid)
				}
			}
		})
	}
}

// A layer that is kept holds the container's own ids: it outlives the user namespace.
func TestUserNamespaceOnKeptLayers(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	for _, medium := range []spec.Medium{spec.MediumDisk, spec.MediumMemory} {
		root := owned(t)
		c := container(root, func(s *spec.ContainerSpec) { s.Rootfs.Writable = spec.Writable{Medium: medium, Life: spec.LifeName} })
		dir := filepath.Join(t.TempDir(), "layer")
		must(t, mount.PrepareLayer(dir, c.Spec.Rootfs))
		t.Cleanup(func() { must(t, mount.RemoveLayer(dir)) })
		for i, m := range []mount.IDMap{ids, {UIDs: ids.GIDs, GIDs: ids.UIDs}, {}} {
			got, err := runWith(t, c, mount.Facts{IDs: m, Layer: dir}, `echo more >> /kept; echo more >> /theirs; busybox chown 3:4 /kept; busybox mkdir /d; busybox rmdir /d; busybox stat -c '%n %u:%g %s' /kept /theirs`)
			must(t, err)
			same(t, string(medium), got, []string{"/kept 3:4 5\n/theirs 1000:1001 12", "/kept 3:4 10\n/theirs 1000:1001 17", "/kept 3:4 15\n/theirs 1000:1001 22"}[i])
		}
	}
}

// With base None the rootfs's files keep their owners: whoever unpacked them has shifted them.
func TestUserNamespaceWithBaseNone(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	root := newRootfs(t)
	must(t, os.WriteFile(root+"/file", nil, 0o644))
	must(t, os.Chown(root+"/file", 100001, 200001))
	must(t, os.Chown(root, 100000, 200000))
	c := exact(root, engineMounts(t), nil)
	got, err := runWith(t, c, mount.Facts{IDs: ids}, `cd /; busybox stat -c '%n %u:%g' file bin / proc dev dev/pts dev/null; busybox stat -c %g /dev/pts/ptmx; busybox touch /new; busybox stat -c %u:%g /new`)
	must(t, err)
	same(t, "inside", got, "file 1:1\nbin 65534:65534\n/ 0:0\nproc 65534:65534\ndev 0:0\ndev/pts 0:0\ndev/null 0:0\n0\n0:0")
}

// idmap shows a bind's files with other owners: those of a map of its own, or of the user namespace.
func TestIDMappedBinds(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	host := t.TempDir()
	must(t, os.Mkdir(host+"/sub", 0o755))
	for _, f := range []string{"a", "sub/b"} {
		must(t, os.WriteFile(filepath.Join(host, f), nil, 0o644))
	}
	must(t, os.Chown(host+"/a", 1, 2))
	must(t, unix.Mount("below", host+"/sub", "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(host+"/sub", unix.MNT_DETACH)) })
	must(t, os.WriteFile(host+"/sub/b", nil, 0o644))
	must(t, os.Chown(host+"/sub/b", 1, 2))
	own := func(from, to uint32) []spec.IDMapping {
		return []spec.IDMapping{{ContainerID: from, HostID: to, Size: 1000}}
	}
	for _, tt := range []struct {
		options string
		ids     mount.IDMap
		want    string
	}{
		{"rbind", mount.IDMap{}, "1:2 1:2"},
		{"rbind idmap", mount.IDMap{}, "5001:6002 1:2"},
		{"rbind ridmap", mount.IDMap{}, "5001:6002 5001:6002"},
		{"rbind ridmap own", ids, "1:2 1:2"},
		{"rbind", ids, "65534:65534 65534:65534"},
	} {
		m := spec.Mount{Type: "bind", Source: host, Destination: "/data", Options: strings.Fields(strings.TrimSuffix(tt.options, " own"))}
		if tt.ids.IsZero() && strings.Contains(tt.options, "idmap") {
			m.UIDMappings, m.GIDMappings = own(0, 5000), own(0, 6000)
		}
		c := container(newRootfs(t), func(s *spec.ContainerSpec) { s.Mounts = []spec.Mount{m} })
		got, err := runWith(t, c, mount.Facts{IDs: tt.ids}, `busybox stat -c %u:%g /data/a /data/sub/b`)
		must(t, err)
		same(t, tt.options, strings.Join(strings.Fields(got), " "), tt.want)
	}
}

// What cannot be had is said: a file system without id-mapped mounts, ids that are not mapped, no namespace.
func TestRefusedMaps(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	own := []spec.IDMapping{{ContainerID: 0, HostID: 5000, Size: 1000}}
	c := container(newRootfs(t), func(s *spec.ContainerSpec) {
		s.Mounts = []spec.Mount{{Type: "bind", Source: "/sys", Destination: "/data", Options: []string{"idmap"}, UIDMappings: own, GIDMappings: own}}
	})
	if _, err := run(t, c, "", "true"); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "hint: ") {
		t.Errorf("sysfs: %v", err)
	}
	c.Spec.Mounts[0].Source = "/bin"
	c.Spec.Mounts = append(c.Spec.Mounts, spec.Mount{Type: "tmpfs", Destination: "/x", Options: []string{"uid=70000"}})
	if _, err := runWith(t, c, mount.Facts{IDs: ids}, "true"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("an id that is not mapped: %v", err)
	}
	if _, err := runWith(t, c, mount.Facts{IDs: mount.IDMap{UIDs: []spec.IDMapping{{ContainerID: 1, HostID: 1, Size: 1}}}}, "true"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("no superuser: %v", err)
	}
	c.Spec.Mounts = nil
	facts, err := mount.Look(c, mount.Facts{IDs: ids})
	must(t, err)
	plan, err := mount.NewPlan(c, facts)
	must(t, err)
	if _, err := plan.Open(nil); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("no user namespace: %v", err)
	}
}
