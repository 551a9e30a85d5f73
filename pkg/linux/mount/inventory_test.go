package mount_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// snapshot describes a tree: path, mode, owner, and contents or target of each entry.
func snapshot(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %v %d:%d %v", path, info.Mode(), st.Uid, st.Gid, info.ModTime())
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", sha256.Sum256(data))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprint(&b, " -> ", target)
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

// inventory is what a start could leave behind in this process: mounts and descriptors.
func inventory() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		target, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if !strings.HasPrefix(target, "anon_inode:[event") && !strings.HasPrefix(target, "/proc/") {
			mounts = fmt.Appendf(mounts, "%s -> %s\n", e.Name(), target)
		}
	}
	return string(mounts), nil
}

// TestMain runs the tests in a mount namespace of their own, where nobody else mounts meanwhile, and holds the whole
// package to leaving nothing behind. Without the capability the tests run where they are, and those that mount skip.
func TestMain(m *testing.M) {
	const inside = "RECONCILER_TEST_MOUNT_NAMESPACE"
	if os.Getenv(inside) == "" {
		os.Setenv(inside, "1")
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		err := cmd.Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			os.Exit(exit.ExitCode())
		} else if err == nil {
			os.Exit(0)
		}
	} else if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		panic(err) // systemd makes a node's mounts shared: what a start forgets to make private shows
	}
	before, err := inventory()
	if err != nil {
		panic(err)
	}
	code := m.Run()
	after, err := inventory()
	if err != nil {
		panic(err)
	}
	if before != after {
		fmt.Fprintf(os.Stderr, "left behind:\n%s\nbefore:\n%s\n", after, before)
		code = 1
	}
	os.Exit(code)
}

// inode is the number of a file.
func inode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }
