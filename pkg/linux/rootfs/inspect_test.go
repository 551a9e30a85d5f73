package rootfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Links are followed inside the root, and what is not there is where it would be made.
func TestResolve(t *testing.T) {
	root, dir := newRoot(t, map[string]string{"usr/etc/hosts": "", "run/x": ""})
	for link, target := range map[string]string{
		"etc": "usr/etc", "out": "../../../../../../tmp", "abs": "/run", "usr/etc/resolv.conf": "../../run/systemd/stub.conf",
		"chain": "abs/../etc/hosts", "loop": "loop2", "loop2": "/loop", "run/deep": "..//./usr/",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"/": "/", "/etc/hosts": "/usr/etc/hosts", "/out": "/tmp", "/out/x": "/tmp/x", "/abs/x": "/run/x", "/etc/resolv.conf": "/run/systemd/stub.conf",
		"/chain": "/usr/etc/hosts", "/missing/../etc": "/etc", "/run/deep/etc": "/usr/etc", "/../../etc": "/usr/etc", "/usr/etc/hosts/below": "/usr/etc/hosts/below",
	} {
		if got, err := root.Resolve(path); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", path, got, err, want)
		}
	}
	if got, err := root.Resolve("/loop/x"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a loop: %s, %v", got, err)
	}
}
