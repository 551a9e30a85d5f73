package kerneltest

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// busybox is where Debian's busybox-static puts the one program a test rootfs is made of.
const busybox = "/bin/busybox"

// applets are the names busybox answers to; an error when it is missing or not static.
var applets = sync.OnceValues(func() ([]string, error) {
	program, err := elf.Open(busybox)
	if err != nil {
		return nil, err
	}
	defer program.Close()
	if slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return nil, fmt.Errorf("%s is not static", busybox)
	}
	list, err := exec.Command(busybox, "--list").Output()
	return strings.Fields(string(list)), err
})

// rootfsFiles are the files of a test rootfs beside busybox.
var rootfsFiles = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n" +
		"daemon:x:1:1:daemon:/usr/sbin:/bin/sh\n" +
		"web:x:1000:1000:web:/home/web:/bin/sh\n" +
		"nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
	"etc/group": "root:x:0:\n" +
		"daemon:x:1:\n" +
		"audio:x:29:web,daemon\n" +
		"video:x:44:web\n" +
		"web:x:1000:\n" +
		"nogroup:x:65534:\n",
	"etc/hostname": "rootfs\n",
	"etc/marker":   "rootfs\n", // no start puts anything there
}

// rootfsDirs are the directories of a test rootfs with their modes.
var rootfsDirs = map[string]os.FileMode{
	"bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "home/web": 0o755, "proc": 0o555, "root": 0o700,
	"sys": 0o555, "tmp": os.ModeSticky | 0o777, "usr": 0o755, "usr/sbin": 0o755, "var": 0o755,
}

// Rootfs makes a small root file system in a directory of the test's own and returns its path: every
// applet of busybox in /bin; users root, daemon, web (with groups audio and video) and nobody.
func Rootfs(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := WriteRootfs(t, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// WriteRootfs makes the same in a directory that exists.
func WriteRootfs(t testing.TB, dir string) error {
	t.Helper()
	if _, err := applets(); err != nil {
		t.Skip(noBusybox(err))
	}
	return RootfsAt(dir)
}

func noBusybox(err error) string {
	return fmt.Sprintf("skip: needs busybox-static: %v: apt-get install busybox-static", err)
}

// RootfsAt makes the same for who has no test, such as an example.
func RootfsAt(dir string) error {
	names, err := applets()
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(rootfsDirs) {
		path, mode := filepath.Join(dir, name), rootfsDirs[name]
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask
			return err
		}
	}
	for name, text := range rootfsFiles {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, busybox), program, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		if name == "busybox" {
			continue
		}
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", name)); err != nil {
			return err
		}
	}
	return os.Chmod(dir, 0o755)
}
