package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/test/generated/orders"
)

// mounts notes each mount by its place. Of several at one place, the later lie over the earlier.
func mounts(r report, _ orders.Orders) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		r.set("mounts", "", err)
		return
	}
	for line := range strings.Lines(string(text)) {
		before, after, _ := strings.Cut(strings.TrimSpace(line), " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		var propagation []string
		for _, field := range head[6:] {
			kind, _, _ := strings.Cut(field, ":")
			propagation = append(propagation, kind)
		}
		key := "mount " + head[4]
		for i := 2; r[key] != ""; i++ {
			key = fmt.Sprintf("mount %s (%d)", head[4], i)
		}
		r[key] = fmt.Sprintf("%s %q of %s, root %s, options %s, super options %s", tail[0], strings.Join(propagation, ","), tail[1], head[3], sorted(head[5]), sorted(tail[2]))
	}
}

func sorted(options string) string {
	return strings.Join(slices.Sorted(strings.SplitSeq(options, ",")), ",")
}

// devices notes everything in /dev but what is in mounts below it.
func devices(r report, _ orders.Orders) {
	var dev unix.Stat_t
	if err := unix.Lstat("/dev", &dev); err != nil {
		r.set("dev", "", err)
		return
	}
	_ = filepath.WalkDir("/dev", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			r.set("dev "+path, "", err)
			return nil
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			r.set("dev "+path, "", err)
			return nil
		}
		r["dev "+path] = describe(path, st)
		if e.IsDir() && path != "/dev" && st.Dev != dev.Dev {
			return filepath.SkipDir
		}
		return nil
	})
	for _, path := range []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/tty", "/dev/ptmx"} {
		r["open "+path] = try(path, unix.O_RDWR|unix.O_NONBLOCK)
	}
}

// describe says what a file is, whose, and who may do what.
func describe(path string, st unix.Stat_t) string {
	kind := map[uint32]string{unix.S_IFDIR: "directory", unix.S_IFREG: "file", unix.S_IFCHR: "character device", unix.S_IFBLK: "block device", unix.S_IFIFO: "pipe", unix.S_IFLNK: "link", unix.S_IFSOCK: "socket"}[st.Mode&unix.S_IFMT]
	text := fmt.Sprintf("%s %04o %d:%d", kind, st.Mode&0o7777, st.Uid, st.Gid)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, _ := os.Readlink(path)
		return "link to " + target
	case unix.S_IFCHR, unix.S_IFBLK:
		return fmt.Sprintf("%s %d:%d", text, unix.Major(st.Rdev), unix.Minor(st.Rdev))
	}
	return text
}

// paths notes what can be done with the places that the orders name.
func paths(r report, o orders.Orders) {
	for _, path := range o.Paths {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			r.set("path "+path, "", err)
			continue
		}
		what := describe(path, st)
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			entries, err := os.ReadDir(path)
			what += fmt.Sprintf(", %s, new file %s", cmp.Or(errText(err), fmt.Sprintf("empty %v", len(entries) == 0)), tryNew(path))
		} else {
			text, err := readSome(path)
			what += fmt.Sprintf(", read %s, write %s", cmp.Or(errText(err), fmt.Sprintf("some %v", text != "")), try(path, unix.O_WRONLY|unix.O_NONBLOCK))
		}
		r["path "+path] = what
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return reason(err)
}

func readSome(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	buffer := make([]byte, 64)
	n, err := unix.Read(fd, buffer)
	return string(buffer[:max(n, 0)]), err
}

func try(path string, flags int) string {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return reason(err)
	}
	_ = unix.Close(fd)
	return "possible"
}

func tryNew(dir string) string {
	path := filepath.Join(dir, ".probe")
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o666)
	if err != nil {
		return reason(err)
	}
	var st unix.Stat_t
	_ = unix.Fstat(fd, &st)
	_, _ = unix.Close(fd), unix.Unlink(path)
	return fmt.Sprintf("possible, %04o %d:%d", st.Mode&0o7777, st.Uid, st.Gid)
}
