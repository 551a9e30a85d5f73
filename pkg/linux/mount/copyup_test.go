package mount_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A tmpfs with tmpcopyup begins with what the rootfs has there: links as links, owners, modes and attributes as they are,
// no device nodes, nothing of what the node has mounted there.
func TestCopyUp(t *testing.T) {
	dir, check := canary(t)
	root := newRootfs(t, "data/deep/er", "data/mounted")
	must(t, os.WriteFile(root+"/data/deep/er/file", []byte("hello\n"), 0o640))
	must(t, os.Chown(root+"/data/deep/er/file", 7, 8))
	must(t, unix.Chmod(root+"/data/deep", 0o1751))
	must(t, os.Symlink(dir, root+"/data/out"))
	must(t, unix.Mkfifo(root+"/data/fifo", 0o600))
	must(t, unix.Mknod(root+"/data/vda", unix.S_IFBLK|0o666, int(unix.Mkdev(254, 0))))
	must(t, unix.Mount("below", root+"/data/mounted", "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(root+"/data/mounted", unix.MNT_DETACH)) })
	must(t, os.Chmod(root+"/data", 0o751))
	must(t, os.Symlink("data", root+"/link"))
	for _, tt := range []struct {
		ids     mount.IDMap
		options string
		at      string
		want    string
	}{
		{mount.IDMap{}, "tmpcopyup size=4Mi", "/data", "751 0:0"},
		{mount.IDMap{}, "tmpcopyup size=4Mi mode=700 ro", "/link", "700 0:0"},
		{ids, "tmpcopyup size=4Mi", "/data", "751 0:0"},
		{mount.IDMap{}, "tmpcopyup size=4Mi uid=5 gid=6", "/data", "751 5:6"},
		{ids, "tmpcopyup size=4Mi uid=5", "/data", "751 5:0"},
	} {
		c := container(root, func(s *spec.ContainerSpec) {
			s.Mounts = []spec.Mount{{Type: "tmpfs", Destination: tt.at, Options: strings.Fields(tt.options)}}
		})
		got, err := runWith(t, c, mount.Facts{IDs: tt.ids}, `cd /data; busybox stat -f -c %T .; busybox stat -c '%a %u:%g' .; busybox ls; busybox readlink out; busybox stat -c '%n %a %u:%g %F' deep deep/er/file fifo; busybox cat deep/er/file; busybox touch x 2> /dev/null && echo written || echo refused`)
		must(t, err)
		same(t, tt.options, got, "tmpfs\n"+tt.want+"\ndeep\nfifo\nout\n"+dir+"\ndeep 1751 0:0 directory\ndeep/er/file 640 7:8 regular file\nfifo 600 0:0 fifo\nhello\n"+
			map[bool]string{true: "refused", false: "written"}[strings.Contains(tt.options, "ro")])
	}
	check()
}

// It is bounded by the size of the tmpfs and by its depth, and an absent or other thing is no directory to copy.
func TestCopyUpIsBounded(t *testing.T) {
	root := newRootfs(t, "big")
	must(t, os.WriteFile(root+"/big/file", make([]byte, 2<<20), 0o600))
	c := container(root, func(s *spec.ContainerSpec) {
		s.Mounts = []spec.Mount{{Type: "tmpfs", Destination: "/big", Options: []string{"tmpcopyup", "size=1Mi"}}}
	})
	if _, err := run(t, c, "", "true"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("larger than the tmpfs: %v", err)
	}
	must(t, os.MkdirAll(root+"/big/"+strings.Repeat("d/", 200), 0o755))
	must(t, os.Remove(root+"/big/file"))
	if _, err := run(t, c, "", "true"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("too deep: %v", err)
	}
	c.Spec.Mounts[0].Destination = "/absent"
	same(t, "absent", sh(t, c, "busybox stat -c %a /absent"), "1777")
}

// What is copied is nobody's memory whom a limit holds, so it is held to the container's: all copies of a start together. Holes are none.
func TestCopyUpIsHeldToTheLimit(t *testing.T) {
	limited := func(options string, at ...string) func(*spec.ContainerSpec) {
		return func(s *spec.ContainerSpec) {
			s.Resources.Memory.Max = spec.NewLimit(2 << 20)
			for _, d := range at {
				s.Mounts = append(s.Mounts, spec.Mount{Type: "tmpfs", Destination: d, Options: strings.Fields("tmpcopyup " + options)})
			}
		}
	}
	root := newRootfs(t, "sparse", "a", "b", "many")
	f, err := os.Create(root + "/sparse/file")
	must(t, err)
	must(t, f.Truncate(96<<20))
	for _, at := range []int64{5, 64<<20 + 1} {
		_, err = f.WriteAt([]byte("island"), at)
		must(t, err)
	}
	must(t, f.Close())
	same(t, "sparse", sh(t, container(root, func(s *spec.ContainerSpec) { limited("", "/sparse")(s); s.Base = spec.BaseNone }), `cd /sparse; busybox stat -c %s file; busybox dd if=file bs=1 skip=5 count=6 2> /dev/null; busybox dd if=file bs=1 skip=67108865 count=6 2> /dev/null
		echo; [ $(busybox du -k file | busybox cut -f 1) -le 64 ] && echo holes`), "100663296\nislandisland\nholes")

	for _, name := range []string{"a", "b"} {
		must(t, os.WriteFile(root+"/"+name+"/file", make([]byte, 1200<<10), 0o600))
	}
	for i := range 2100 {
		must(t, os.WriteFile(fmt.Sprintf("%s/many/%d", root, i), nil, 0o600))
	}
	_, err = run(t, container(root, limited("", "/a")), "", "true")
	must(t, err)
	for options, at := range map[string][]string{"": {"/a", "/b"}, "size=64Mi": {"/a", "/b"}, "mode=700": {"/many"}} {
		_, err := run(t, container(root, limited(options, at...)), "", "true")
		if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "memory.max of the container, 2Mi") || !strings.Contains(err.Error(), "hint: raise memory.max") ||
			!strings.Contains(err.Error(), "copy "+at[len(at)-1]+" of the rootfs") {
			t.Errorf("%v with %q: %v", at, options, err)
		}
	}
}

// CVE-2021-30465 again: a tree that changes while it is copied leads nowhere.
func TestCopyUpOfASwappedTree(t *testing.T) {
	dir, check := canary(t)
	root := newRootfs(t, "data/x/deep")
	must(t, os.WriteFile(root+"/data/x/deep/file", []byte("inside"), 0o644))
	must(t, os.Symlink(dir, root+"/data/evil"))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, root+"/data/x", unix.AT_FDCWD, root+"/data/evil", unix.RENAME_EXCHANGE)
			}
		}
	}()
	c := container(root, func(s *spec.ContainerSpec) {
		s.Mounts = []spec.Mount{{Type: "tmpfs", Destination: "/data", Options: []string{"tmpcopyup"}}}
		s.Network.Mode = spec.NetworkHost
	})
	for range 20 {
		if got, err := run(t, c, "", `busybox find /data -type f | while read -r f; do busybox cat $f; done`); err == nil && strings.Contains(got, "canary") {
			t.Errorf("the node's file is inside: %q", got)
		}
	}
	close(stop)
	<-done
	check()
}

// Extended attributes of the rootfs's files are seen in the container and survive being copied up into a writable layer.
func TestXattrs(t *testing.T) {
	root := newRootfs(t, "data")
	// VFS_CAP_REVISION_2 with CAP_NET_BIND_SERVICE permitted and effective, see linux/capability.h
	capability := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	for _, f := range []string{"file", "data/file"} {
		f = filepath.Join(root, f)
		must(t, os.WriteFile(f, []byte("x"), 0o755))
		must(t, unix.Setxattr(f, "security.capability", capability, 0))
		must(t, unix.Setxattr(f, "user.colour", []byte("green"), 0))
	}
	for _, w := range []spec.Writable{{}, {Medium: spec.MediumDisk}, {Medium: spec.MediumDirect}} {
		for _, m := range []mount.IDMap{{}, ids} {
			c := container(root, func(s *spec.ContainerSpec) {
				s.Rootfs.Writable = w
				s.Mounts = []spec.Mount{{Type: "tmpfs", Destination: "/data", Options: []string{"tmpcopyup"}}}
			})
			layer := ""
			if mount.NeedsLayer(c.Spec.Rootfs) {
				layer = filepath.Join(t.TempDir(), "layer")
				must(t, mount.PrepareLayer(layer, c.Spec.Rootfs))
				t.Cleanup(func() { must(t, mount.RemoveLayer(layer)) })
			}
			got, err := runWith(t, c, mount.Facts{IDs: m, Layer: layer}, "busybox stat -c %a /file", func(p *process.Program) {
				for _, step := range []string{"before", "after"} {
					for _, f := range []string{"/file", "/data/file"} {
						for _, name := range []string{"security.capability", "user.colour"} {
							p.Call(step+" "+name, f, unix.SYS_GETXATTR, process.Str(f), process.Str(name), process.Data(make([]byte, 64)), process.Int(64))
						}
						p.Call("change mode", f, unix.SYS_FCHMODAT, process.Int(unix.AT_FDCWD), process.Str(f), process.Int(0o711))
					}
				}
			})
			must(t, err)
			same(t, string(w.Medium), got, "711")
			must(t, os.Chmod(root+"/file", 0o755))
		}
	}
}
