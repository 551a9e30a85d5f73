package mount_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// withLayer is a container on a prepared layer; it is removed with the test.
func withLayer(t testing.TB, w spec.Writable) (c spec.Container, dir string) {
	t.Helper()
	c = container(newRootfs(t), func(s *spec.ContainerSpec) { s.Rootfs.Writable = w })
	if !mount.NeedsLayer(c.Spec.Rootfs) {
		t.Fatalf("%+v needs no layer", c.Spec.Rootfs)
	}
	dir = filepath.Join(t.TempDir(), "layers", "a,b:c")
	must(t, mount.PrepareLayer(dir, c.Spec.Rootfs))
	t.Cleanup(func() { must(t, mount.RemoveLayer(dir)) })
	return c, dir
}

func TestLayersAreKept(t *testing.T) {
	for _, w := range []spec.Writable{
		{Medium: spec.MediumMemory, Life: spec.LifeInstance},
		{Medium: spec.MediumMemory, Life: spec.LifeName, Size: 1 << 20},
		{Medium: spec.MediumDisk},
	} {
		c, dir := withLayer(t, w)
		for range 3 {
			_, err := run(t, c, dir, "echo more >> /file; busybox rm /bin/sh; busybox ln -s busybox /bin/sh")
			must(t, err)
			must(t, mount.PrepareLayer(dir, c.Spec.Rootfs))
		}
		got, err := run(t, c, dir, "busybox wc -l < /file")
		must(t, err)
		same(t, string(w.Medium), got, "3")
		must(t, mount.RemoveLayer(dir))
		must(t, mount.RemoveLayer(dir))
		if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the layer is still there: %v", err)
		}
	}
}

func TestLayerInMemoryIsBoundedAndResized(t *testing.T) {
	c, dir := withLayer(t, spec.Writable{Life: spec.LifeName, Size: 1 << 20})
	const fill = "busybox dd if=/dev/zero of=/file bs=64k count=32 2> /dev/null; busybox stat -c %s /file"
	got, err := run(t, c, dir, fill)
	must(t, err)
	same(t, "1Mi", got, "1048576")
	c.Spec.Rootfs.Writable.Size = 4 << 20
	must(t, mount.PrepareLayer(dir, c.Spec.Rootfs))
	got, err = run(t, c, dir, fill)
	must(t, err)
	same(t, "4Mi", got, "2097152")
	c.Spec.Rootfs.Writable.Size = 1 << 20
	if err := mount.PrepareLayer(dir, c.Spec.Rootfs); !errors.Is(err, unix.EINVAL) {
		t.Errorf("shrinking below what is in it: %v", err)
	}
}

func TestFailedPrepareLeavesNothing(t *testing.T) {
	c := container(newRootfs(t), func(s *spec.ContainerSpec) { s.Rootfs.Path = "/nonexistent" })
	dir := filepath.Join(t.TempDir(), "layer")
	if err := mount.PrepareLayer(dir, c.Spec.Rootfs); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v", err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

// quotaFS mounts a small ext4 with project quotas, which the kernel needs CONFIG_QFMT_V2 for.
func quotaFS(t *testing.T) string {
	t.Helper()
	needRoot(t)
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	f, err := os.Create(image)
	must(t, err)
	must(t, f.Truncate(32<<20))
	must(t, f.Close())
	if out, err := exec.Command("mkfs.ext4", "-q", "-O", "quota,project", "-E", "quotatype=prjquota", image).CombinedOutput(); err != nil {
		t.Skipf("feature ext4 project quotas: mkfs.ext4: %v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop,prjquota", image, dir).CombinedOutput(); err != nil {
		t.Skipf("feature ext4 project quotas: mount: %v: %s", err, out)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

func TestLayerOnDiskIsBounded(t *testing.T) {
	c := container(newRootfs(t), func(s *spec.ContainerSpec) {
		s.Rootfs.Writable = spec.Writable{Medium: spec.MediumDisk, Size: 2 << 20}
	})
	dir := filepath.Join(quotaFS(t), "layer")
	for range 2 {
		must(t, mount.PrepareLayer(dir, c.Spec.Rootfs))
		got, err := run(t, c, dir, "busybox dd if=/dev/zero of=/file bs=64k count=64 2>&1 | busybox head -n 1; s=$(busybox stat -c %s /file); [ $s -gt 1500000 ] && [ $s -le 2097152 ] && echo bounded")
		must(t, err)
		same(t, "dd", got, "dd: error writing '/file': Disk quota exceeded\nbounded")
		must(t, mount.RemoveLayer(dir))
	}
}

func TestLayerOnDiskWithoutQuotas(t *testing.T) {
	c := container(newRootfs(t), func(s *spec.ContainerSpec) {
		s.Rootfs.Writable = spec.Writable{Medium: spec.MediumDisk, Size: 2 << 20}
	})
	parent := t.TempDir()
	dir := filepath.Join(parent, "layer")
	err := mount.PrepareLayer(dir, c.Spec.Rootfs)
	if err == nil {
		must(t, mount.RemoveLayer(dir))
		t.Skip("the temporary directory has project quotas")
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("err = %v", err)
	}
	t.Log(err)
	if entries, _ := os.ReadDir(parent); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}
