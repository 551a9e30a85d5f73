package kerneltest

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// canaryFiles are the files of a canary: named like what a rootfs has and a start works with, so that a link that
// leads out of a container finds in it what it looks for inside.
var canaryFiles = []string{
	"file", "null", "console", "ptmx", "tty", "kcore", "passwd", "group", "hosts", "hostname", "resolv.conf", "bin/sh", "bin/busybox",
	"dev/null", "dev/console", "dev/ptmx", "dev/tty", "dev/pts/0", "dev/pts/ptmx", "etc/passwd", "etc/group", "etc/hosts", "etc/hostname", "etc/resolv.conf",
	"proc/sysrq-trigger", "proc/self/attr/exec", "proc/sys/kernel/core_pattern", "proc/sys/net/ipv4/ip_forward", "sys/fs/cgroup/cgroup.procs",
	"pts/0", "pts/ptmx", "self/attr/exec", "sys/kernel/core_pattern", "cgroup/cgroup.procs", "sub/inner",
}

// canaryDirs are its directories beside those of its files.
var canaryDirs = []string{"shm", "mqueue", "dev/shm", "dev/mqueue", "tmp", "work", "lower", "upper"}

// Canary makes a tree of the node that no container may touch, and fails the test when its end finds it changed in any way
// that the kernel keeps: contents, names, modes, owners, extended attributes, times of change.
func Canary(t testing.TB) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "canary") // short: links to it are texts of images
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, d := range canaryDirs {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range canaryFiles {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("canary "+file), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := Fingerprint(t, dir)
	t.Cleanup(func() {
		if diff := Diff(before, Fingerprint(t, dir)); diff != nil {
			t.Errorf("the node's files changed:\n%s", strings.Join(diff, "\n"))
		}
	})
	return dir
}

// Fingerprint is what the kernel keeps of each file below directories, a line each. Only reading leaves it as it is.
func Fingerprint(t testing.TB, dirs ...string) (lines Inventory) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				var line string
				line, err = fingerprint(path)
				lines = append(lines, line)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(lines)
	return lines
}

func fingerprint(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", err
	}
	line := fmt.Sprintf("%s: inode %d, mode %o, owner %d:%d, links %d, device %x, modified %v, changed %v", path, st.Ino, st.Mode, st.Uid, st.Gid, st.Nlink, st.Rdev, st.Mtim, st.Ctim)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(", sha256 %x", sha256.Sum256(data))
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		line += ", to " + target
	}
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, list)
	if err == nil && n > 0 {
		line += fmt.Sprintf(", attributes %q", list[:n])
	}
	return line, nil
}

// HostFiles are files of this machine that attacks aim at, as fingerprints that nothing else on it changes meanwhile.
func HostFiles(t testing.TB) (lines Inventory) {
	t.Helper()
	for _, path := range []string{"/etc/passwd", "/etc/hosts", "/etc/resolv.conf", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/sysrq", "/proc/sys/kernel/hostname", "/proc/sys/net/ipv4/ip_forward"} {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s: sha256 %x", path, sha256.Sum256(data)))
	}
	for _, path := range []string{"/dev/null", "/dev/zero", "/dev/ptmx", "/etc/passwd", "/etc/hosts", "/bin/busybox"} {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err == nil {
			lines = append(lines, fmt.Sprintf("%s: mode %o, device %x", path, st.Mode, st.Rdev)) // whoever engines run as may own /dev/null
		}
	}
	slices.Sort(lines)
	return lines
}
