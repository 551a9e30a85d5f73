package mount_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// exact is a container with base None and the given mounts.
func exact(root string, mounts []spec.Mount, change func(*spec.ContainerSpec)) spec.Container {
	return container(root, func(s *spec.ContainerSpec) {
		s.Base, s.Mounts = spec.BaseNone, mounts
		s.Rootfs.Writable.Medium = spec.MediumDirect
		s.Security.MaskedPaths, s.Security.ReadonlyPaths = &[]string{}, &[]string{}
		s.Network.Mode = spec.NetworkNone
		if change != nil {
			change(s)
		}
	})
}

// engineMounts are what engines put into a configuration of the OCI.
func engineMounts(t *testing.T) (mounts []spec.Mount) {
	t.Helper()
	must(t, json.Unmarshal([]byte(`[
{"destination": "/proc", "type": "proc", "source": "proc"},
{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
{"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
{"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
{"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
]`), &mounts))
	return mounts
}

// With base None a container has the mounts that are said and no other, in their order, with the flags that are said
// and no others.
func TestExactMounts(t *testing.T) {
	root := newRootfs(t)
	got := sh(t, exact(root, engineMounts(t), nil), mountTable+`; echo; cd /dev; for f in *; do echo -n "$f "; done`)
	tree, dev, _ := strings.Cut(got, "\n\n")
	same(t, "devices", dev, "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero")
	_, tree, _ = strings.Cut(tree, "\n") // the rootfs's own file system
	var cgroups []string
	var rest []string
	for line := range strings.Lines(tree) {
		if strings.HasPrefix(line, "/sys/fs/cgroup/") {
			cgroups = append(cgroups, line)
		} else {
			rest = append(rest, line)
		}
	}
	top := "tmpfs tmpfs rw,mode=755" // with the hierarchies of version 1 below it
	if kerneltest.Tree(t).V1["pids"] == "" {
		top = "cgroup2 cgroup rw"
	}
	same(t, "mounts", strings.Join(rest, ""), `/proc rw,relatime proc proc rw
/dev rw,nosuid tmpfs tmpfs rw,mode=755
/dev/pts rw,nosuid,noexec,relatime devpts devpts rw,gid=5,mode=620,ptmxmode=666
/dev/shm rw,nosuid,nodev,noexec,relatime tmpfs shm rw
/dev/mqueue rw,nosuid,nodev,noexec,relatime mqueue mqueue rw
/sys ro,nosuid,nodev,noexec,relatime sysfs sysfs rw
/sys/fs/cgroup ro,nosuid,nodev,noexec,relatime `+top)
	t.Logf("cgroups:\n%s", strings.Join(cgroups, ""))
	for _, line := range cgroups {
		if !strings.Contains(line, " ro,nosuid,nodev,noexec,relatime cgroup ") {
			t.Errorf("%s", line)
		}
	}
}

// Nothing but what is said: with no mounts there is the rootfs alone, and devices bound where its /dev is.
func TestNothingIsSaid(t *testing.T) {
	root := newRootfs(t, "proc")
	got := sh(t, exact(root, nil, nil), `busybox mknod /dev/x p; busybox ls /proc | busybox wc -l; echo gone > /dev/null; busybox stat -c '%n %t:%T %a' /dev/null /dev/tty; busybox readlink /dev/fd`)
	same(t, "inside", got, "0\n/dev/null 1:3 666\n/dev/tty 5:0 666\n/proc/self/fd")
	var left []string
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if d.Type()&(fs.ModeDevice|fs.ModeCharDevice) != 0 {
			left = append(left, path)
		}
		return err
	}))
	if len(left) > 0 {
		t.Errorf("device nodes in the rootfs: %q", left)
	}
	if _, err := os.Lstat(root + "/dev/x"); err != nil {
		t.Errorf("what the container wrote is not in the rootfs: %v", err)
	}
}

// A working directory that is missing is made where writes go into the rootfs, even if the root is read-only afterwards; below a mount that is
// read-only it cannot be.
func TestWorkingDirIsMade(t *testing.T) {
	for _, at := range []string{"/made/here", "/link/here", "/tmp/here"} {
		root := newRootfs(t, "real", "tmp")
		must(t, os.Symlink("/real", root+"/link"))
		c := exact(root, []spec.Mount{{Type: "tmpfs", Destination: "/tmp"}}, func(s *spec.ContainerSpec) {
			s.WorkingDir, s.Rootfs.ReadOnly = at, true
		})
		same(t, at, sh(t, c, `busybox pwd; busybox stat -c %a .; (echo > /no) 2> /dev/null || echo read-only`), strings.Replace(at, "link", "real", 1)+"\n755\nread-only")
	}
	c := exact(newRootfs(t), []spec.Mount{{Type: "bind", Source: t.TempDir(), Destination: "/tmp", Options: []string{"ro"}}}, func(s *spec.ContainerSpec) { s.WorkingDir = "/tmp/here" })
	if _, err := run(t, c, "", "true"); !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "make working directory /tmp/here") {
		t.Errorf("below a read-only mount: %v", err)
	}
}

// Writes go into the rootfs itself, and what the node has mounted below it is part of it.
func TestDirectRootfs(t *testing.T) {
	for _, ro := range []bool{false, true} {
		root := newRootfs(t, "data")
		at := filepath.Join(root, "data")
		must(t, unix.Mount("below", at, "tmpfs", 0, ""))
		t.Cleanup(func() { must(t, unix.Unmount(at, unix.MNT_DETACH)) })
		c := container(root, func(s *spec.ContainerSpec) {
			s.Rootfs.Writable.Medium, s.Rootfs.ReadOnly = spec.MediumDirect, ro
			s.Mounts = []spec.Mount{{Type: "tmpfs", Destination: "/made/here"}}
		})
		got := sh(t, c, `(echo hello > /file) 2> /dev/null && echo written || echo refused; busybox stat -f -c %T /data /made/here`)
		want := map[bool]string{false: "written\ntmpfs\ntmpfs", true: "refused\ntmpfs\ntmpfs"}
		same(t, "inside", got, want[ro])
		text, _ := os.ReadFile(root + "/file")
		if string(text) != map[bool]string{false: "hello\n", true: ""}[ro] {
			t.Errorf("read-only %v: the rootfs has %q", ro, text)
		}
	}
}

// Mount points are made inside a rootfs that is written to, whatever its links say.
func TestDirectRootfsIsHostile(t *testing.T) {
	dir, check := canary(t)
	for name, links := range map[string]map[string]string{
		"destination": {"data": dir},
		"parent":      {"data": "../../../../../../../../../../.." + dir + "/sub"},
		"dev":         {"dev": dir},
		"proc":        {"proc": dir},
		"sys":         {"sys": "../../../../../../../../../../.." + dir},
	} {
		root := newRootfs(t)
		for link, target := range links {
			must(t, os.Symlink(target, filepath.Join(root, link)))
		}
		for _, base := range []spec.Base{spec.BaseStandard, spec.BaseNone} {
			c := exact(root, []spec.Mount{{Type: "bind", Source: "/dev/zero", Destination: "/data/new/file"}, {Type: "proc", Destination: "/proc"}, {Type: "sysfs", Destination: "/sys"}},
				func(s *spec.ContainerSpec) {
					if s.Base = base; base == spec.BaseStandard {
						s.Mounts = s.Mounts[:1]
					}
				})
			_, err := run(t, c, "", "busybox touch /data/x")
			t.Logf("%s, %s: %v", name, base, err)
		}
	}
	check()
}

// CVE-2026-88264 and 88265: without a mount on /dev, no link of the image decides what null or console is.
func TestNoMountOnDev(t *testing.T) {
	dir, check := canary(t)
	for link, target := range map[string]string{"dev/null": dir + "/null", "dev/console": dir + "/file", "dev": dir, "dev/pts": dir + "/pts", "dev/fd": dir + "/sub"} {
		for _, tty := range []bool{false, true} {
			root := newRootfs(t)
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, link)), 0o755))
			must(t, os.Symlink(target, filepath.Join(root, link)))
			c := exact(root, []spec.Mount{{Type: "proc", Destination: "/proc"}}, func(s *spec.ContainerSpec) { s.TTY = tty })
			got, err := run(t, c, "", `echo x > /dev/null; busybox stat -c %t:%T /dev/null`)
			if err == nil && got != "1:3" || err != nil && !errors.Is(err, unix.ELOOP) && !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s -> %s, terminal %v: %q, %v", link, target, tty, got, err)
			}
		}
	}
	check()
}

// A link of the image cannot lead a mount onto proc or a file of it: that is covered meanwhile.
func TestAstrayOntoProc(t *testing.T) {
	root := newRootfs(t, "proc")
	must(t, os.Symlink("/proc", filepath.Join(root, "data")))
	must(t, os.Symlink("/proc/sys/kernel", filepath.Join(root, "deep")))
	host := t.TempDir()
	c := exact(root, []spec.Mount{{Type: "proc", Destination: "/proc"}, {Type: "bind", Source: host, Destination: "/data"}}, nil)
	same(t, "proc", sh(t, c, `busybox stat -f -c %T /proc; [ -e /proc/self/status ] && echo there`), "proc\nthere")
	c.Spec.Mounts[1].Destination = "/deep"
	if _, err := run(t, c, "", "true"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a mount below proc: %v", err)
	}
}

// What stands in for proc is a proc file system.
func TestBindOnProc(t *testing.T) {
	root := newRootfs(t)
	c := exact(root, []spec.Mount{{Type: "bind", Source: t.TempDir(), Destination: "/proc", Options: []string{"rbind"}}}, nil)
	if _, err := run(t, c, "", "true"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a directory on /proc: %v", err)
	}
	c = exact(root, []spec.Mount{{Type: "bind", Source: "/proc", Destination: "/proc", Options: []string{"rbind"}}}, nil)
	same(t, "the node's proc", sh(t, c, `busybox stat -f -c %T /proc; [ -e /proc/1/status ] && echo there`), "proc\nthere")
}

// A remount changes what it says, and leaves the rest.
func TestRemount(t *testing.T) {
	c := exact(newRootfs(t), []spec.Mount{
		{Type: "proc", Destination: "/proc"},
		{Type: "tmpfs", Destination: "/a", Options: []string{"nosuid", "size=1m"}},
		{Type: "tmpfs", Destination: "/a", Options: []string{"remount", "ro", "size=2m"}},
	}, nil)
	same(t, "the tmpfs", sh(t, c, `busybox awk '$5 == "/a" {print $6, $NF}' /proc/self/mountinfo | busybox sed '`+nodesOwn+`'`), "ro,nosuid,relatime rw,size=2048k")
	c.Spec.Mounts[2].Destination = "/b"
	if _, err := run(t, c, "", "true"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("remount of nothing: %v", err)
	}
	c.Spec.Mounts[2].Destination = "/bin"
	if _, err := run(t, c, "", "true"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("remount of what is not mounted: %v", err)
	}
}

// A /dev that is brought along is left as it is.
func TestForeignDev(t *testing.T) {
	host := t.TempDir()
	must(t, os.WriteFile(host+"/null", nil, 0o644))
	must(t, os.WriteFile(host+"/console", nil, 0o644))
	before := snapshot(t, host)
	c := exact(newRootfs(t), []spec.Mount{{Type: "proc", Destination: "/proc"}, {Type: "bind", Source: host, Destination: "/dev"}}, func(s *spec.ContainerSpec) {
		s.TTY = true
		s.Security.MaskedPaths = &[]string{"/proc/timer_list"}
	})
	same(t, "inside", sh(t, c, `busybox stat -c '%n %F' /dev/* /proc/timer_list`), "/dev/console character special file\n/dev/null regular empty file\n/proc/timer_list character special file")
	same(t, "the node's directory", snapshot(t, host), before)
}

// Files of the node appear where the image has a directory for them, also behind its links, and never where the manifest
// has mounted something.
func TestInjectedFiles(t *testing.T) {
	dir, check := canary(t)
	host := t.TempDir()
	must(t, os.WriteFile(host+"/resolv", []byte("nameserver 127.0.0.1\n"), 0o644))
	facts := mount.Facts{Injected: []mount.Injected{{Destination: "/etc/resolv.conf", Source: host + "/resolv", ReadOnly: true}}}
	for name, tt := range map[string]struct {
		dirs, links []string
		want        string
	}{
		"no directory":         {nil, nil, "cat: can't open '/etc/resolv.conf': No such file or directory"},
		"no file":              {[]string{"etc"}, nil, "nameserver 127.0.0.1\nrefused"},
		"dangling link":        {[]string{"etc"}, []string{"../run/systemd/resolve/stub.conf"}, "nameserver 127.0.0.1\nrefused"},
		"absolute link":        {[]string{"etc"}, []string{"/run/resolv.conf"}, "nameserver 127.0.0.1\nrefused"},
		"link out":             {[]string{"etc"}, []string{"../../../../../../../../.." + dir + "/file"}, "nameserver 127.0.0.1\nrefused"},
		"link into proc":       {[]string{"etc"}, []string{"/proc/sys/kernel/core_pattern"}, "untouched"},
		"link to itself":       {[]string{"etc"}, []string{"resolv.conf"}, "too many levels of symbolic links"},
		"the directory a link": {[]string{"usr/etc"}, nil, "nameserver 127.0.0.1\nrefused"},
	} {
		for _, ro := range []bool{false, true} {
			root := newRootfs(t, tt.dirs...)
			for _, target := range tt.links {
				must(t, os.Symlink(target, root+"/etc/resolv.conf"))
			}
			if _, err := os.Stat(root + "/usr/etc"); err == nil {
				must(t, os.Symlink("usr/etc", root+"/etc"))
			}
			before := snapshot(t, root)
			c := container(root, func(s *spec.ContainerSpec) { s.Rootfs.ReadOnly = ro })
			got, err := runWith(t, c, facts, `busybox cat /etc/resolv.conf 2>&1 && { (echo > /etc/resolv.conf) 2> /dev/null || echo refused; }`)
			if err != nil {
				got = err.Error()[max(0, len(err.Error())-len(tt.want)):]
			} else if tt.want == "untouched" && !strings.Contains(got, "127.0.0.1") {
				got = tt.want
			}
			same(t, name, got, tt.want)
			same(t, "rootfs", snapshot(t, root), before)
		}
	}
	own := t.TempDir()
	c := container(newRootfs(t, "etc"), func(s *spec.ContainerSpec) { s.Mounts = []spec.Mount{{Type: "bind", Source: own, Destination: "/etc"}} })
	got, err := runWith(t, c, facts, `busybox ls /etc | busybox wc -l`)
	must(t, err)
	same(t, "below the manifest's own mount", got, "0")
	check()
}
