package linux_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// refusals are containers that this node cannot have: the error says what is wrong and of which kind it is.
var refusals = []struct {
	name   string
	change func(*spec.ContainerSpec)
	kind   error
	says   string
	late   bool // found only by Start, in the child
}{
	{"no rootfs", func(s *spec.ContainerSpec) { s.Rootfs.Path = "/nonexistent/rootfs" }, fs.ErrNotExist, "/nonexistent/rootfs", false},
	{"rootfs a file", func(s *spec.ContainerSpec) { s.Rootfs.Path = "/proc/self/status" }, unix.ENOTDIR, "/proc/self/status", false},
	{"rootfs not said", func(s *spec.ContainerSpec) { s.Rootfs.Path = "" }, fs.ErrInvalid, "rootfs", false},
	{"rootfs relative", func(s *spec.ContainerSpec) { s.Rootfs.Path = "." }, fs.ErrInvalid, "rootfs", false},
	{"no user", func(s *spec.ContainerSpec) { s.User = "nobody-here" }, fs.ErrNotExist, `user "nobody-here"`, false},
	{"no group", func(s *spec.ContainerSpec) { s.User = "web:none" }, fs.ErrNotExist, `group "none"`, false},
	{"no additional group", func(s *spec.ContainerSpec) { s.AdditionalGroups = []string{"none"} }, fs.ErrNotExist, `group "none"`, false},
	{"user too large", func(s *spec.ContainerSpec) { s.User = "4294967296" }, fs.ErrInvalid, "4294967296", false},
	{"no command", func(s *spec.ContainerSpec) { s.Command = nil }, fs.ErrInvalid, "command", false},
	{"empty command", func(s *spec.ContainerSpec) { s.Command = []string{""} }, fs.ErrInvalid, "command", false},
	{"cut argument", func(s *spec.ContainerSpec) { s.Command = []string{"/bin/echo", "a\x00b"} }, fs.ErrInvalid, `a\x00b`, false},
	{"cut environment", func(s *spec.ContainerSpec) { s.Env = map[string]string{"A": "a\x00b"} }, fs.ErrInvalid, `a\x00b`, false},
	{"umask", func(s *spec.ContainerSpec) { s.Umask = "0999" }, fs.ErrInvalid, "umask", false},
	{"no bind source", func(s *spec.ContainerSpec) {
		s.Mounts = []spec.Mount{{Type: spec.MountBind, Source: "/nonexistent/data", Destination: "/data"}}
	}, fs.ErrNotExist, "/nonexistent/data", false},
	{"mount over proc", func(s *spec.ContainerSpec) {
		s.Mounts = []spec.Mount{{Type: spec.MountTmpfs, Destination: "/proc/self"}}
	}, fs.ErrInvalid, "/proc/self", false},
	{"unknown mount", func(s *spec.ContainerSpec) { s.Mounts = []spec.Mount{{Type: "nfs", Destination: "/data"}} }, fs.ErrInvalid, "nfs", false},
	{"unknown capability", func(s *spec.ContainerSpec) { s.Security.Capabilities.Add = []string{"FLY"} }, fs.ErrInvalid, "FLY", false},
	{"node's sysctl", func(s *spec.ContainerSpec) { s.Sysctls = map[string]string{"vm.swappiness": "1"} }, fs.ErrInvalid, "vm.swappiness", false},
	{"rlimit", func(s *spec.ContainerSpec) { s.Rlimits = map[string]spec.Rlimit{"nofile": {Soft: 1, Hard: 1 << 60}} }, errors.ErrUnsupported, "nofile", false},
	{"no program", func(s *spec.ContainerSpec) { s.Command = []string{"/bin/absent"} }, fs.ErrNotExist, "/bin/absent", true},
	{"program not in PATH", func(s *spec.ContainerSpec) { s.Command = []string{"absent"} }, fs.ErrNotExist, "absent", true},
	{"program not executable", func(s *spec.ContainerSpec) { s.Command = []string{"/etc/passwd"} }, fs.ErrPermission, "/etc/passwd", true},
	{"program a directory", func(s *spec.ContainerSpec) { s.Command = []string{"/etc"} }, fs.ErrPermission, "/etc", true},
	{"no working directory", func(s *spec.ContainerSpec) { s.WorkingDir = "/nonexistent" }, fs.ErrNotExist, "/nonexistent", true},
	{"sysctl value", func(s *spec.ContainerSpec) { s.Sysctls = map[string]string{"net.ipv4.ip_forward": "nonsense"} }, unix.EINVAL, "net.ipv4.ip_forward", true},
}

// What cannot be created leaves nothing; what cannot be started stays Created, and is destroyed to nothing.
func TestRefusals(t *testing.T) {
	n := open(t)
	n.say(t, n.container("warm", ""))
	everything := kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}, Pids: []int{0, n.keeper(t)}}
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			kerneltest.NoLeaks(t, everything)
			c := n.container("web", forever)
			test.change(&c.Spec)
			before := kerneltest.Settled(t, everything)
			err := n.Create(t.Context(), c, 1, spec.DefaultsVersion)
			if test.late {
				must(t, err)
				err = n.Start(t.Context(), "web", 1)
				if got := n.look(t, "web", 1); got.Phase != spec.InstanceCreated || got.Starts != 0 || got.Exit != nil {
					t.Errorf("after the failed Start: %+v", got)
				}
				must(t, n.Destroy(t.Context(), "web", 1, false))
			} else if diff := kerneltest.Diff(before, kerneltest.Settled(t, everything)); diff != nil {
				t.Errorf("the failed Create left %q", diff)
			}
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %v about %q", err, test.kind, test.says)
			}
			t.Log(err)
		})
	}
}

// A limit the node has no controller for is refused by Create and by Update, and names its controller.
func TestUnsupportedLimit(t *testing.T) {
	if kerneltest.Tree(t).V1["memory"] == "" {
		t.Skip("skip: needs the memory controller on cgroup v1, which has no memory.high")
	}
	kerneltest.Require(t, feature.Memory)
	n := open(t)
	high := n.container("web", forever)
	high.Spec.Resources = spec.Resources{Memory: spec.Memory{High: spec.NewLimit(mebi)}, Pids: spec.Pids{Max: spec.NewLimit(5)}}
	kind := func(err error) {
		t.Helper()
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "memory.high") {
			t.Errorf("got %v, want errors.ErrUnsupported and memory.high", err)
		}
	}
	kind(n.Create(t.Context(), high, 1, spec.DefaultsVersion))
	n.run(t, n.container("web", forever), 1)
	kind(n.Update(t.Context(), high, 1))
	if got := n.look(t, "web", 1); !got.Wanted.IsZero() || got.Phase != spec.InstanceRunning {
		t.Errorf("the refused Update gave %+v", got)
	}
}

// A restart that fails leaves the exit before it to be seen.
func TestFailedRestart(t *testing.T) {
	n := open(t)
	c := n.container("web", "")
	c.Spec.Command = []string{"/bin/false"}
	n.run(t, c, 1)
	before := n.await(t, "web", 1, exited)
	must(t, os.Remove(n.path("rootfs", "bin", "false")))
	for range 3 {
		if err := n.Start(t.Context(), "web", 1); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want fs.ErrNotExist", err)
		}
		if got := n.look(t, "web", 1); got.Phase != spec.InstanceExited || *got.Exit != *before.Exit || got.Starts != 1 {
			t.Errorf("got %+v, exit %+v", got, got.Exit)
		}
	}
	must(t, os.Symlink("busybox", n.path("rootfs", "bin", "false")))
	must(t, n.Start(t.Context(), "web", 1))
	if got := n.await(t, "web", 1, exited); got.Starts != 2 || got.Exit.Code != 1 {
		t.Errorf("after the repaired Start: %+v", got)
	}
}

// TestDirectoriesOfOthers are refused: what is in them is believed.
func TestDirectoriesOfOthers(t *testing.T) {
	kerneltest.Root(t)
	dir := t.TempDir()
	cfg := linux.Config{RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"), LogDir: filepath.Join(dir, "log"), CgroupParent: kerneltest.Parent(t)}
	for _, spoil := range []func(path string) error{
		func(path string) error { return os.Chmod(path, 0o777) },
		func(path string) error { return os.Chown(path, 1, 1) },
	} {
		for _, path := range []string{cfg.RunDir, filepath.Join(cfg.RunDir, "state"), cfg.StateDir, cfg.LogDir} {
			if err := errors.Join(os.MkdirAll(path, 0o755), spoil(path)); err != nil {
				t.Fatal(err)
			}
			n, err := linux.Open(t.Context(), cfg)
			if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: got %v, want a refusal that names it", path, err)
			}
			if err == nil {
				n.Close()
			}
			os.RemoveAll(dir)
			os.Mkdir(dir, 0o755)
		}
	}
}
