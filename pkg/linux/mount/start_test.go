package mount_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// mountTable prints the mounts a process sees: mount point, flags, type, and read-only or not. Options that a node chooses for all its mounts of
// a type, when its kernel is built or its cgroups are mounted, are not among them.
const mountTable = `while read -r id parent dev root point flags rest; do echo "$point $flags ${rest##*- }"; done < /proc/self/mountinfo | busybox sed 's/,lowerdir.*//; s/rw,size=[0-9]*k/rw/; ` + nodesOwn + `'`

// nodesOwn are the words for sed that take such options away.
const nodesOwn = `s/,inode64//; s/,nsdelegate//; s/,memory_[a-z_]*//g`

func TestDefaultTree(t *testing.T) {
	table := sh(t, container(newRootfs(t), nil), mountTable)
	tree, masks, _ := strings.Cut(table, "/proc/acpi ")
	same(t, "mounts", tree, `
/ rw,nodev,relatime overlay overlay rw
/proc rw,nosuid,nodev,noexec,relatime proc proc rw
/sys ro,nosuid,nodev,noexec,relatime sysfs sysfs rw
/dev rw,nosuid,noexec,relatime tmpfs tmpfs rw,mode=755
/dev/pts rw,nosuid,noexec,relatime devpts devpts rw,gid=5,mode=620,ptmxmode=666
/dev/shm rw,nosuid,nodev,noexec,relatime tmpfs tmpfs rw
/dev/mqueue rw,nosuid,nodev,noexec,relatime mqueue mqueue rw
/sys/fs/cgroup ro,nosuid,nodev,noexec,relatime cgroup2 cgroup2 rw`)
	for line := range strings.Lines("/proc/acpi " + masks) {
		point, flags, _ := strings.Cut(line, " ")
		null := strings.HasPrefix(flags, "rw,nosuid,noexec,relatime tmpfs tmpfs rw,mode=755")
		if !null && !strings.HasPrefix(flags, "ro,nosuid,nodev,noexec,relatime ") {
			t.Errorf("%s is neither masked nor read-only: %s", point, flags)
		}
	}
}

func TestDevices(t *testing.T) {
	got := sh(t, container(newRootfs(t), nil), `
cd /dev; for f in *; do [ -L $f ] && echo "$f -> $(busybox readlink $f)" || busybox stat -c '%n %A %t:%T' $f; done
echo gone > null; busybox head -c 3 zero | busybox wc -c; echo x 2>/dev/null > full || echo full
echo through > /dev/stdout; echo 1 > /dev/fd/2
busybox stat -c '%a %n' /dev/pts/ptmx; busybox stat -f -c %b /dev/shm`)
	same(t, "/dev", got, `
fd -> /proc/self/fd
full crw-rw-rw- 1:7
mqueue drwxrwxrwt 0:0
null crw-rw-rw- 1:3
ptmx -> pts/ptmx
pts drwxr-xr-x 0:0
random crw-rw-rw- 1:8
shm drwxrwxrwt 0:0
stderr -> /proc/self/fd/2
stdin -> /proc/self/fd/0
stdout -> /proc/self/fd/1
tty crw-rw-rw- 5:0
urandom crw-rw-rw- 1:9
zero crw-rw-rw- 1:5
3
full
through
1
666 /dev/pts/ptmx
16384`)
}

func TestNamespacesInside(t *testing.T) {
	got := sh(t, container(newRootfs(t), nil), `echo $$; busybox hostname; busybox cat /proc/self/cgroup | busybox tail -n 1; busybox cat /sys/class/net/lo/operstate; busybox ls /sys/class/net; busybox pwd; umask`)
	same(t, "inside", got, "1\ntest\n0::/\nunknown\nlo\n/\n0000")
}

// The rootfs may be shared by many containers: whatever they do, it stays as it is.
func TestRootfsIsNeverWritten(t *testing.T) {
	for name, tt := range map[string]struct {
		dirs []string
		spec spec.Rootfs
		want string
	}{
		"read-only":                      {[]string{"proc", "sys", "dev"}, spec.Rootfs{ReadOnly: true}, "refused\next4-or-lower"},
		"read-only without mount points": {nil, spec.Rootfs{ReadOnly: true}, "refused\noverlay"},
		"writable in memory":             {nil, spec.Rootfs{}, "written\noverlay"},
		"writable, small":                {nil, spec.Rootfs{Writable: spec.Writable{Size: 1 << 20}}, "written\noverlay"},
	} {
		t.Run(name, func(t *testing.T) {
			root := newRootfs(t, tt.dirs...)
			before := snapshot(t, root)
			c := container(root, func(s *spec.ContainerSpec) {
				tt.spec.Path = root
				s.Rootfs = tt.spec
				s.Mounts = []spec.Mount{{Type: "tmpfs", Destination: "/dev/x"}}
			})
			got := sh(t, c, `(echo hello > /file) 2> /dev/null && echo written || echo refused
busybox grep -q ' / / .* overlay' /proc/self/mountinfo && echo overlay || echo ext4-or-lower`)
			same(t, "inside", got, tt.want)
			same(t, "rootfs", snapshot(t, root), before)
		})
	}
}

func TestLayerIsBounded(t *testing.T) {
	c := container(newRootfs(t), func(s *spec.ContainerSpec) { s.Rootfs.Writable.Size = 1 << 20 })
	same(t, "dd", sh(t, c, `busybox dd if=/dev/zero of=/file bs=64k count=64 2>&1 | busybox head -n 1; busybox ls -l /file | busybox awk '{print $5}'`),
		"dd: error writing '/file': No space left on device\n1048576")
}

func TestRootLooksLikeTheRootfs(t *testing.T) {
	root := newRootfs(t)
	must(t, os.Chown(root, 7, 8))
	must(t, unix.Chmod(root, 0o1751))
	same(t, "stat", sh(t, container(root, nil), `busybox stat -c '%a %u:%g' /`), "1751 7:8")
}

func TestMounts(t *testing.T) {
	host := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(host, "dir/sub"), 0o755))
	must(t, os.WriteFile(filepath.Join(host, "dir/file"), []byte("from the node\n"), 0o644))
	for name, tt := range map[string]struct {
		mounts       []spec.Mount
		script, want string
	}{
		"directory onto a missing path": {
			[]spec.Mount{{Type: "bind", Source: host + "/dir", Destination: "/a/b/c"}},
			"busybox cat /a/b/c/file; busybox touch /a/b/c/sub", "from the node",
		},
		"file onto a missing path": {
			[]spec.Mount{{Type: "bind", Source: host + "/dir/file", Destination: "/a/b/file", Options: []string{"ro"}}},
			"busybox cat /a/b/file; (echo > /a/b/file) 2> /dev/null || echo refused", "from the node\nrefused",
		},
		"read-only": {
			[]spec.Mount{{Type: "bind", Source: host + "/dir", Destination: "/data", Options: []string{"ro", "nosuid", "noexec", "nodev"}}},
			"busybox touch /data/x 2> /dev/null || echo refused; busybox awk '$5 == \"/data\" {print $6}' /proc/self/mountinfo", "refused\nro,nosuid,nodev,noexec,relatime",
		},
		"one inside the other": {
			[]spec.Mount{{Type: "tmpfs", Destination: "/data", Options: []string{"size=1Mi", "mode=700", "uid=5", "exec"}}, {Type: "bind", Source: host + "/dir", Destination: "/data/inner"}},
			"busybox cat /data/inner/file; busybox stat -c '%a %u' /data; busybox stat -f -c '%b' /data", "from the node\n700 5\n256",
		},
		"shm of another size": {
			[]spec.Mount{{Type: "tmpfs", Destination: "/dev/shm", Options: []string{"size=1Mi"}}},
			"busybox stat -f -c %b /dev/shm; busybox grep -c ' /dev/shm rw,nosuid,nodev,noexec' /proc/self/mountinfo", "256\n1",
		},
		"device": {
			[]spec.Mount{{Type: "bind", Source: "/dev/zero", Destination: "/dev/made/zero"}},
			"busybox stat -c %F /dev/made/zero; busybox head -c 2 /dev/made/zero | busybox wc -c", "character special file\n2",
		},
		"file of proc": {
			[]spec.Mount{{Type: "bind", Source: host + "/dir/file", Destination: "/proc/meminfo", Options: []string{"ro"}}},
			"busybox cat /proc/meminfo", "from the node",
		},
		"cgroup for writing": {
			[]spec.Mount{{Type: "cgroup", Destination: "/sys/fs/cgroup", Options: []string{"rw"}}},
			"busybox awk '$5 == \"/sys/fs/cgroup\" {print $6}' /proc/self/mountinfo", "rw,nosuid,nodev,noexec,relatime",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := container(newRootfs(t), func(s *spec.ContainerSpec) { s.Mounts = tt.mounts })
			same(t, "inside", sh(t, c, tt.script), tt.want)
		})
	}
}

// A bind takes what is mounted below its source along only if asked to, and its flags hold there too.
func TestRecursiveBinds(t *testing.T) {
	needRoot(t)
	host := t.TempDir()
	sub := filepath.Join(host, "sub")
	must(t, os.Mkdir(sub, 0o755))
	must(t, unix.Mount("below", sub, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(sub, unix.MNT_DETACH)) })
	must(t, unix.Mount("", sub, "", unix.MS_SHARED, ""))
	must(t, os.WriteFile(filepath.Join(sub, "file"), []byte("below\n"), 0o644))
	for _, tt := range []struct{ options, want string }{
		{"bind", "not there\nwritten"},
		{"rbind", "below\nwritten\nprivate"},
		{"rbind ro", "below\nrefused\nprivate"},
		{"rbind rslave", "below\nwritten\nmaster"},
		{"rbind rshared", "below\nwritten\nshared"},
	} {
		c := container(newRootfs(t), func(s *spec.ContainerSpec) {
			s.Mounts = []spec.Mount{{Type: "bind", Source: host, Destination: "/data", Options: strings.Fields(tt.options)}}
		})
		got := sh(t, c, `busybox cat /data/sub/file 2> /dev/null || echo not there
(echo below > /data/sub/file) 2> /dev/null && echo written || echo refused
busybox awk '$5 == "/data/sub" { print $7 == "-" ? "private" : gensub(/:.*/, "", 1, $7) }' /proc/self/mountinfo`)
		same(t, tt.options, got, tt.want)
		_ = os.Remove(filepath.Join(host, "sub/file"))
		must(t, os.WriteFile(filepath.Join(sub, "file"), []byte("below\n"), 0o644))
	}
}

// A rootfs that has something mounted in it on the node is used without that.
func TestMountsBelowTheRootfs(t *testing.T) {
	for _, ro := range []bool{false, true} {
		root := newRootfs(t, "proc", "data")
		for _, dir := range []string{"proc", "data"} {
			at := filepath.Join(root, dir)
			must(t, unix.Mount("below", at, "tmpfs", 0, ""))
			t.Cleanup(func() { must(t, unix.Unmount(at, unix.MNT_DETACH)) })
		}
		must(t, os.Mkdir(filepath.Join(root, "data/sub"), 0o755))
		c := container(root, func(s *spec.ContainerSpec) {
			s.Rootfs.ReadOnly = ro
			s.Mounts = []spec.Mount{{Type: "tmpfs", Destination: "/data/sub"}}
		})
		same(t, "inside", sh(t, c, `busybox stat -f -c %T /proc /data/sub; busybox grep -c below /proc/self/mountinfo`), "proc\ntmpfs\n0")
	}
}

func TestSysctls(t *testing.T) {
	before, err := os.ReadFile("/proc/sys/kernel/shmmax")
	must(t, err)
	c := container(newRootfs(t), func(s *spec.ContainerSpec) {
		s.Sysctls = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmax": "4096", "net.ipv4.conf.lo.arp_ignore": "3"}
	})
	got := sh(t, c, "cd /proc/sys; busybox cat net/ipv4/ip_forward kernel/shmmax net/ipv4/conf/lo/arp_ignore; (echo 1 > kernel/shmmax) 2> /dev/null || echo refused")
	same(t, "inside", got, "1\n4096\n3\nrefused")
	after, err := os.ReadFile("/proc/sys/kernel/shmmax")
	must(t, err)
	same(t, "the node's shmmax", string(after), string(before))
}

func TestHiddenPaths(t *testing.T) {
	root := newRootfs(t, "secret/deep", "real", "usr/etc")
	must(t, os.WriteFile(filepath.Join(root, "secret/deep/file"), []byte("x"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "usr/etc/key"), []byte("x"), 0o644))
	must(t, os.Symlink("usr/etc", filepath.Join(root, "etc")))
	c := container(root, func(s *spec.ContainerSpec) {
		s.Security.MaskedPaths = &[]string{"/secret/deep", "/etc/key", "/proc/meminfo", "/missing", "/bin/busybox/not-a-directory"}
		s.Security.ReadonlyPaths = &[]string{"/real", "/missing", "/proc/sys"}
	})
	got := sh(t, c, `busybox ls /secret/deep | busybox wc -l; busybox wc -c < /usr/etc/key; busybox wc -c < /proc/meminfo
busybox touch /real/x 2> /dev/null || echo refused; busybox touch /secret/x && echo written`)
	same(t, "inside", got, "0\n0\n0\nrefused\nwritten")
}

func TestWorkingDir(t *testing.T) {
	root := newRootfs(t, "srv/app")
	must(t, os.Symlink("/srv", filepath.Join(root, "s")))
	must(t, os.Symlink("/proc/self/root/../..", filepath.Join(root, "out")))
	for dir, want := range map[string]string{
		"/srv/app":        "/srv/app",
		"/s/app":          "/srv/app",
		"/missing":        "cannot enter working directory /missing: no such file or directory",
		"/bin/busybox":    "cannot enter working directory /bin/busybox: not a directory",
		"/proc/self/fd/7": "cannot enter working directory /proc/self/fd/7: too many levels of symbolic links",
		"/proc/self/cwd":  "cannot enter working directory /proc/self/cwd: too many levels of symbolic links",
		"/out":            "cannot enter working directory /out: too many levels of symbolic links",
	} {
		got, err := run(t, container(root, func(s *spec.ContainerSpec) { s.WorkingDir = dir }), "", "busybox pwd -P")
		if err != nil {
			got = err.Error()
		}
		same(t, dir, got, want)
	}
}

func TestHostNetwork(t *testing.T) {
	links, err := os.ReadDir("/sys/class/net")
	must(t, err)
	var want []string
	for _, l := range links {
		want = append(want, l.Name())
	}
	got := sh(t, container(newRootfs(t), func(s *spec.ContainerSpec) { s.Network.Mode = spec.NetworkHost }), "busybox ls -1 /sys/class/net")
	same(t, "links", got, strings.Join(want, "\n"))
}
