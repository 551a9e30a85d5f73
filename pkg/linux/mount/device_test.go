package mount_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func device(t *testing.T, path, kind, mode string, major, minor uint64, uid, gid uint32) mount.Device {
	t.Helper()
	d, err := mount.NewDevice(path, kind, mode, major, minor, uid, gid)
	must(t, err)
	return d
}

// Device nodes of a manifest are where it wants them, with its numbers, mode and owner: in /dev, in directories below it, in
// other mounts and in the rootfs, with every kind of root; and they work.
func TestDevicesOfAManifest(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	facts := mount.Facts{Devices: []mount.Device{
		device(t, "/dev/net/tun", "c", "0600", 10, 200, 3, 4),
		device(t, "/dev/zero", "c", "0640", 1, 5, 0, 6),
		device(t, "/dev/mine/null", "u", "666", 1, 3, 0, 0),
		device(t, "/dev/shm/zero", "c", "0666", 1, 5, 0, 0),
		device(t, "/srv/pipe", "p", "0622", 0, 0, 7, 0),
		device(t, "/srv/deep/disk", "b", "0660", 7, 0, 0, 8),
		device(t, "/dev/ptmx", "c", "0666", 5, 2, 0, 0),
	}}
	const script = `cd /; busybox stat -c '%n %a %u:%g %t:%T %F' dev/net/tun dev/zero dev/mine/null dev/shm/zero srv/pipe srv/deep/disk
echo x > dev/mine/null && busybox head -c 2 dev/shm/zero | busybox wc -c; busybox readlink dev/ptmx`
	const want = `dev/net/tun 600 3:4 a:c8 character special file
dev/zero 640 0:6 1:5 character special file
dev/mine/null 666 0:0 1:3 character special file
dev/shm/zero 666 0:0 1:5 character special file
srv/pipe 622 7:0 0:0 fifo
srv/deep/disk 660 0:8 7:0 block special file
2
pts/ptmx`
	for name, c := range map[string]spec.Container{
		"writable":  container(newRootfs(t), nil),
		"read-only": container(newRootfs(t), func(s *spec.ContainerSpec) { s.Rootfs.ReadOnly = true }),
		"exact":     exact(newRootfs(t), engineMounts(t), nil),
	} {
		for _, m := range []mount.IDMap{{}, ids} {
			facts.IDs = m
			if strings.Contains(name, "exact") && !m.IsZero() {
				must(t, unix.Chown(c.Spec.Rootfs.Path, 100000, 200000))
			}
			got, err := runWith(t, c, facts, script)
			must(t, err)
			same(t, name, got, want)
		}
	}
}

func TestRefusedDevices(t *testing.T) {
	for _, tt := range []struct {
		path, kind, mode string
		major, minor     uint64
	}{
		{"dev/x", "c", "0600", 1, 3},
		{"/", "c", "0600", 1, 3},
		{"/a/..", "c", "0600", 1, 3},
		{"/dev/x", "s", "0600", 1, 3},
		{"/dev/x", "", "0600", 1, 3},
		{"/dev/x", "c", "0900", 1, 3},
		{"/dev/x", "c", "4600", 1, 3},
		{"/dev/x", "c", "", 1, 3},
		{"/dev/x", "c", "0600", 1 << 12, 3},
		{"/dev/x", "b", "0600", 1, 1 << 20},
	} {
		if d, err := mount.NewDevice(tt.path, tt.kind, tt.mode, tt.major, tt.minor, 0, 0); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%+v: %+v, %v", tt, d, err)
		}
	}
	c := container(newRootfs(t), nil)
	_, err := runWith(t, c, mount.Facts{IDs: ids, Devices: []mount.Device{device(t, "/dev/x", "c", "0600", 1, 3, 70000, 0)}}, "true")
	if !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("an owner who is not mapped: %v", err)
	}
	dir, check := canary(t)
	for _, at := range []string{"/dev/net", "/out/x"} {
		root := newRootfs(t)
		must(t, unix.Symlink(dir, root+"/out"))
		c := container(root, func(s *spec.ContainerSpec) { s.Rootfs.Writable.Medium = spec.MediumDirect })
		got, err := runWith(t, c, mount.Facts{Devices: []mount.Device{device(t, at, "c", "0666", 1, 3, 0, 0)}}, "busybox stat -c %t "+at)
		if err == nil && got != "1" {
			t.Errorf("%s: %s", at, got)
		}
	}
	check()
}
