package linux_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// image is a rootfs that a hostile image has made of a good one.
type image struct {
	name string
	// spoil changes the rootfs at root, and gives the path to start from if that is another. The canary is where its links aim at.
	spoil func(t *testing.T, root, canary string) string
	// swapped are names, relative to the rootfs, that are exchanged with a link to the canary during starts.
	swapped []string
}

// at spoils one path.
func at(name, path string, spoil func(t *testing.T, path, canary string)) image {
	return image{name, func(t *testing.T, root, canary string) string {
		full := filepath.Join(root, path)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.RemoveAll(full))
		spoil(t, full, canary)
		return ""
	}, []string{path}}
}

// link is a link at path; %s is the canary.
func link(path, target string) image {
	return at(fmt.Sprintf("%s is a link to %s", path, target), path, func(t *testing.T, full, canary string) {
		must(t, os.Symlink(strings.ReplaceAll(target, "%s", canary), full))
	})
}

// escape leads up from anywhere.
const escape = "../../../../../../../../../../.."

func fifo(t *testing.T, path, _ string) { must(t, unix.Mkfifo(path, 0o666)) }

func socket(t *testing.T, path, _ string) {
	dir, err := os.Open(filepath.Dir(path)) // an address holds 108 bytes
	must(t, err)
	defer dir.Close()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
}

func device(kind uint32, major, minor uint32) func(*testing.T, string, string) {
	return func(t *testing.T, path, _ string) {
		must(t, unix.Mknod(path, kind|0o666, int(unix.Mkdev(major, minor))))
	}
}

func directory(t *testing.T, path, _ string) { must(t, os.Mkdir(path, 0o755)) }

func text(content string) func(*testing.T, string, string) {
	return func(t *testing.T, path, _ string) { must(t, os.WriteFile(path, []byte(content), 0o644)) }
}

func sparse(size int64) func(*testing.T, string, string) {
	return func(t *testing.T, path, _ string) {
		must(t, os.WriteFile(path, nil, 0o644))
		must(t, os.Truncate(path, size))
	}
}

func missing(*testing.T, string, string) {}

// whole spoils more than one path.
func whole(name string, spoil func(t *testing.T, root, canary string) string, swapped ...string) image {
	return image{name, spoil, swapped}
}

// mounted starts from a mount of the node's, made of the rootfs.
func mounted(name string, mount func(root, point string) error) image {
	return whole("the rootfs is "+name, func(t *testing.T, root, _ string) string {
		point := root + "-mount"
		must(t, os.MkdirAll(point, 0o755))
		t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH); _ = os.RemoveAll(point) })
		must(t, mount(root, point))
		return point
	}, "etc")
}

func bound(flags uintptr) func(root, point string) error {
	return func(root, point string) error {
		if err := unix.Mount(root, point, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		return unix.Mount("none", point, "", unix.MS_BIND|unix.MS_REMOUNT|flags, "")
	}
}

// images are all of them.
var images = []image{
	// Links where a start mounts, makes, reads or enters something.
	link("proc", "%s"), link("proc", escape+"%s"), link("proc", "proc"), link("sys", "%s"), link("sys", escape+"/sys"), link("dev", "%s/dev"), link("dev", escape+"%s/dev"), link("dev", "/proc/self/root%s"),
	link("dev/pts", "%s/pts"), link("dev/shm", "%s/shm"), link("dev/mqueue", "%s/mqueue"), link("dev/null", "%s/null"), link("dev/null", "/proc/sys/kernel/core_pattern"), link("dev/console", "%s/console"), link("dev/ptmx", escape+"%s/ptmx"), link("dev/tty", "tty"),
	link("etc", "%s/etc"), link("etc", escape+"%s/etc"), link("etc", "etc"), link("etc", "/proc/self/attr"), link("etc", "/proc/1/root/../../etc"),
	link("etc/passwd", "%s/passwd"), link("etc/passwd", "/dev/zero"), link("etc/passwd", "/proc/self/environ"), link("etc/group", escape+"%s/group"), link("etc/group", "group"),
	link("etc/resolv.conf", "%s/resolv.conf"), link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"), link("etc/hosts", "%s/hosts"), link("etc/hosts", "/proc/sysrq-trigger"), link("etc/hostname", escape+"%s/hostname"), link("etc/hosts", "hosts"),
	link("tmp", "%s/tmp"), link("srv", "%s/work"), link("srv", "/proc/self/cwd"), link("srv", "/proc/1/fd/3"), link("sys/fs/cgroup", "%s/cgroup"), link("data", escape+"%s/sub"),
	link("bin/busybox", "%s/bin/busybox"), link("bin/busybox", "/proc/self/exe"), link("bin", escape+"%s/bin"), link("var", "var/../var/../var"), link("run", "%s"),

	// Other kinds of files than what is expected.
	at("passwd is a FIFO", "etc/passwd", fifo), at("group is a socket", "etc/group", socket), at("passwd is a directory", "etc/passwd", directory), at("passwd is a disk", "etc/passwd", device(unix.S_IFBLK, 254, 0)),
	at("passwd is huge", "etc/passwd", sparse(1<<40)), at("group is a line without end", "etc/group", text(strings.Repeat("web:x:1000:web,", 60000))), at("hosts is a FIFO", "etc/hosts", fifo), at("hosts is a device", "etc/hosts", device(unix.S_IFCHR, 1, 3)),
	at("resolv.conf is a directory", "etc/resolv.conf", directory), at("null is a FIFO", "dev/null", fifo), at("null is a memory", "dev/null", device(unix.S_IFCHR, 1, 1)), at("console is a file", "dev/console", text("x")), at("dev is a file", "dev", text("x")), at("proc is a FIFO", "proc", fifo),
	at("sys is a device", "sys", device(unix.S_IFBLK, 7, 0)), at("srv is a file", "srv", text("x")), at("the command is a FIFO", "bin/busybox", fifo), at("the command is a directory", "bin/busybox", directory), at("the command runs itself", "bin/busybox", text("#!/bin/busybox\n")),
	at("the command's interpreter is a FIFO", "bin/busybox", text("#!/etc/fifo\n")), at("etc is missing", "etc", missing), at("dev is missing", "dev", missing), at("tmp is missing", "tmp", missing), at("data is a whiteout", "data", device(unix.S_IFCHR, 0, 0)),

	// Trees and texts that nobody expects.
	whole("deep directories", func(t *testing.T, root, _ string) string {
		dir, err := os.Open(root)
		must(t, err)
		defer dir.Close()
		at := int(dir.Fd())
		for range 300 {
			must(t, unix.Mkdirat(at, "d", 0o755))
			next, err := unix.Openat(at, "d", unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			must(t, err)
			if at != int(dir.Fd()) {
				unix.Close(at)
			}
			at = next
		}
		unix.Close(at)
		return ""
	}, "d"),
	whole("names that are no text", func(t *testing.T, root, _ string) string {
		for _, name := range []string{"\xff\xfe", "a\nb", "\x1b[2J", strings.Repeat("n", 255), "lowerdir=,upperdir=:\\"} {
			must(t, os.WriteFile(filepath.Join(root, name), nil, 0o644))
			must(t, os.WriteFile(filepath.Join(root, "etc", name), nil, 0o644))
		}
		return ""
	}),
	whole("passwd is no text", func(t *testing.T, root, _ string) string {
		must(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("\x00\xff:::::\nroot:x:0:0:root:/\x00:/bin/sh\nweb:x:-1:99999999999:\xff:/h\n:x:0:0::/:\n"), 0o644))
		return ""
	}, "etc/passwd"),
	whole("set-user-id and capable files", func(t *testing.T, root, _ string) string {
		must(t, os.Chmod(filepath.Join(root, "bin/busybox"), 0o6755|os.ModeSetuid|os.ModeSetgid))
		_ = unix.Setxattr(filepath.Join(root, "bin/busybox"), "security.capability", []byte("\x01\x00\x00\x02\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00"), 0)
		return ""
	}),
	whole("attributes of an overlay", func(t *testing.T, root, _ string) string {
		for _, name := range []string{"trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.overlay.metacopy", "user.overlay.redirect", "trusted.overlay.origin"} {
			for _, dir := range []string{"etc", "dev", "tmp"} {
				_ = unix.Setxattr(filepath.Join(root, dir), name, []byte("/../../../../../etc"), 0)
			}
		}
		return ""
	}, "etc"),
	whole("directories of an overlay", func(t *testing.T, root, _ string) string {
		for _, dir := range []string{"lower", "upper", "work", "upper.new", "lower/upper"} {
			must(t, os.MkdirAll(filepath.Join(root, dir), 0o777))
		}
		return ""
	}, "lower", "upper"),
	whole("everything belongs to others", func(t *testing.T, root, _ string) string {
		for _, path := range []string{"", "etc", "dev", "proc", "sys", "bin", "etc/passwd", "tmp"} {
			must(t, os.Chown(filepath.Join(root, path), 4242, 4243))
		}
		return ""
	}, "etc"),
	whole("nothing may be read", func(t *testing.T, root, _ string) string {
		for _, path := range []string{"etc", "dev", "etc/passwd", "tmp", "proc"} {
			must(t, os.Chmod(filepath.Join(root, path), 0))
		}
		must(t, os.Chmod(root, 0o700))
		return ""
	}),
	whole("unchangeable files", func(t *testing.T, root, _ string) string {
		for _, path := range []string{"etc/hosts", "etc", "dev", "tmp"} {
			setImmutable(t, filepath.Join(root, path), true)
			t.Cleanup(func() { setImmutable(t, filepath.Join(root, path), false) })
		}
		return ""
	}),
	whole("the rootfs is a link", func(t *testing.T, root, _ string) string {
		path := root + "-link"
		must(t, os.Symlink(root, path))
		t.Cleanup(func() { _ = os.Remove(path) })
		return path
	}, "etc"),
	whole("the rootfs is nothing but an executable", func(t *testing.T, root, _ string) string {
		for _, name := range []string{"dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "var"} {
			must(t, os.RemoveAll(filepath.Join(root, name)))
		}
		return ""
	}),
	whole("many entries in dev", func(t *testing.T, root, _ string) string {
		for i := range 3000 {
			must(t, os.WriteFile(filepath.Join(root, "dev", fmt.Sprint("d", i)), nil, 0o644))
		}
		return ""
	}, "dev"),
	whole("a mount of the node below it", func(t *testing.T, root, canary string) string {
		point := filepath.Join(root, "data")
		must(t, os.Mkdir(point, 0o755))
		must(t, unix.Mount("none", point, "tmpfs", 0, "size=64k"))
		t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
		must(t, os.Symlink(canary, filepath.Join(point, "sub")))
		return ""
	}, "tmp"),
	mounted("a mount point", bound(0)), mounted("mounted noexec", bound(unix.MS_NOEXEC)), mounted("mounted nosuid, nodev and read-only", bound(unix.MS_NOSUID|unix.MS_NODEV|unix.MS_RDONLY)),
	mounted("an overlay", func(root, point string) error {
		for _, d := range []string{"u", "w"} {
			if err := os.MkdirAll(filepath.Join(point, d), 0o755); err != nil {
				return err
			}
		}
		if err := unix.Mount("none", point, "tmpfs", 0, "size=8m"); err != nil { // an upper directory cannot be on every file system
			return err
		}
		upper, work, merged := filepath.Join(point, "u"), filepath.Join(point, "w"), root
		for _, d := range []string{upper, work} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return err
			}
		}
		return unix.Mount("overlay", point, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", merged, upper, work))
	}),
}

// immutable is FS_IMMUTABLE_FL of linux/fs.h.
const immutable = 0x10

// setImmutable changes the attribute that nobody may change a file, where the file system has it; see ioctl_iflags(2).
func setImmutable(t *testing.T, path string, on bool) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return
	}
	if flags &^= immutable; on {
		flags |= immutable
	}
	_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
}
