package namespace_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func ids(container, host, size uint32) []spec.IDMapping {
	return []spec.IDMapping{{ContainerID: container, HostID: host, Size: size}}
}

// A user namespace has the maps that were asked for, and the namespaces made in it belong to it; its superuser is nobody outside.
func TestUserNamespace(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.Require(t, feature.UserNamespaces)
	user, err := namespace.NewUser(ids(0, 100000, 65536), ids(0, 200000, 1000))
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	files, err := namespace.NewIn(user, []string{"net", "uts"}, true)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := namespace.Of(user)
	if err != nil {
		t.Fatal(err)
	}
	for kind, f := range files {
		defer f.Close()
		fd, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.NS_GET_USERNS, 0)
		if errno != 0 {
			t.Fatal(errno)
		}
		owner := os.NewFile(fd, "owner")
		defer owner.Close()
		if id, err := namespace.Of(owner); err != nil || id != theirs {
			t.Errorf("%s belongs to %v, %v, want %v", kind, id, err, theirs)
		}
	}
	// A process in it is root inside and user 100000 outside, may set its host name and lo is up.
	p := &process.Program{}
	p.Call("join", "user", unix.SYS_SETNS, p.File("user"), process.Int(unix.CLONE_NEWUSER))
	for kind, flag := range map[string]int{"net": unix.CLONE_NEWNET, "uts": unix.CLONE_NEWUTS} {
		p.Call("join", kind, unix.SYS_SETNS, p.File(kind), process.Int(flag))
	}
	p.Call("set group", "", unix.SYS_SETRESGID, process.Int(0), process.Int(0), process.Int(0))
	p.Call("set user", "", unix.SYS_SETRESUID, process.Int(0), process.Int(0), process.Int(0))
	p.Call("set hostname", "", unix.SYS_SETHOSTNAME, process.Str("inside"), process.Int(6))
	p.Call("connect", "", unix.SYS_DUP3, p.File("out"), process.Int(1), process.Int(0))
	script := `id -u; cat /proc/self/uid_map; hostname; ip link show lo | grep -c LOOPBACK,UP`
	p.Call("execute", "", unix.SYS_EXECVE, process.Str("/bin/busybox"), process.Strs([]string{"sh", "-c", script}), process.Strs(nil))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	child, err := process.Start(p, map[string]*os.File{"user": user, "net": files["net"], "uts": files["uts"], "out": w})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer child.Pidfd.Close()
	var status unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d", child.Pid), &status); err != nil {
		t.Fatal(err)
	}
	out := new(strings.Builder)
	if _, err := r.WriteTo(out); err != nil {
		t.Fatal(err)
	}
	if _, err := process.Reap(child.Pidfd); err != nil {
		t.Fatal(err)
	}
	if want := "0\n 0 100000 65536\ninside\n1\n"; strings.Join(strings.Fields(out.String()), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("inside: %q, want %q", out, want)
	}
}

// Maps that the kernel refuses are the manifest's mistake, and leave nothing.
func TestBadMaps(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.Require(t, feature.UserNamespaces)
	overlapping := append(ids(0, 100000, 10), ids(5, 200000, 10)...)
	for name, maps := range map[string][]spec.IDMapping{"overlapping": overlapping, "empty": ids(0, 0, 0)} {
		if user, err := namespace.NewUser(maps, ids(0, 1, 1)); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v, %v", name, user, err)
		}
	}
}
