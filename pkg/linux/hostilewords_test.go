package linux_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// others are words of a kind that is refused whatever it is about.
func others(dir, fifo string) map[string]func(s *spec.ContainerSpec) {
	return map[string]func(s *spec.ContainerSpec){
		"bind /proc/self/mem/x": func(s *spec.ContainerSpec) {
			s.Mounts = []spec.Mount{{Type: spec.MountBind, Source: "/proc/self/mem/x", Destination: "/tmp"}}
		},
		"bind nothing": func(s *spec.ContainerSpec) {
			s.Mounts = []spec.Mount{{Type: spec.MountBind, Source: "", Destination: "/tmp"}}
		},
		"bind a NUL": func(s *spec.ContainerSpec) {
			s.Mounts = []spec.Mount{{Type: spec.MountBind, Source: dir, Destination: "/tmp/\x00"}}
		},
		"landlock a NUL":     func(s *spec.ContainerSpec) { s.Security.Landlock.Execute = []string{"/\x00"} },
		"landlock nothing":   func(s *spec.ContainerSpec) { s.Security.Landlock.Execute = []string{"/nonexistent"} },
		"group upwards":      func(s *spec.ContainerSpec) { s.Group = "../x" },
		"command with a NUL": func(s *spec.ContainerSpec) { s.Command = []string{"/bin/sh", "-c", "true\x00"} },
		"environment":        func(s *spec.ContainerSpec) { s.Env = map[string]string{"A=B\x00": "\x00"} },
		"rootfs a NUL":       func(s *spec.ContainerSpec) { s.Rootfs.Path = "/\x00" },
		"rootfs a FIFO":      func(s *spec.ContainerSpec) { s.Rootfs.Path = fifo },
		"hook a directory":   func(s *spec.ContainerSpec) { s.Hooks.CreateRuntime = []spec.Hook{{Path: dir}} },
		"hook a FIFO":        func(s *spec.ContainerSpec) { s.Hooks.CreateContainer = []spec.Hook{{Path: fifo}} },
		"hook a NUL":         func(s *spec.ContainerSpec) { s.Hooks.StartContainer = []spec.Hook{{Path: "/bin/\x00"}} },
	}
}

// Words that no manifest could hold, which a program can say all the same, and files that are not what a word is about: creating or starting such a
// container ends soon, with an error that is not too long to read, and leaves nothing.
func TestHostileWords(t *testing.T) {
	n := open(t)
	n.say(t, n.container("warm", ""))
	n.run(t, n.container("ended", "true"), 1)
	n.await(t, "ended", 1, exited)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, unix.Mkfifo(at("fifo"), 0o600))
	writer, err := os.OpenFile(at("fifo"), os.O_RDWR, 0) // who never writes
	must(t, err)
	defer writer.Close()
	l, err := net.Listen("unix", at("socket"))
	must(t, err)
	defer l.Close()
	must(t, os.WriteFile(at("file"), []byte("{}"), 0o600))
	must(t, os.WriteFile(at("huge"), nil, 0o600))
	must(t, os.Truncate(at("huge"), 1<<40))
	must(t, os.WriteFile(at("others"), []byte("{}"), 0o600))
	must(t, os.Chmod(at("others"), 0o666))
	must(t, os.WriteFile(at("theirs"), []byte("{}"), 0o600))
	must(t, os.Chown(at("theirs"), 4242, 0))
	must(t, os.WriteFile(at("deep"), []byte(strings.Repeat(`{"a":[`, 1<<17)), 0o600))
	must(t, os.Symlink("/dev/zero", at("endless")))
	must(t, os.Symlink("loop", at("loop")))
	files := []string{"/", "/dev/null", "/dev/zero", "/dev/tty", "/proc/self/mem", "/proc/self/ns/mnt", "/nonexistent", at("fifo"), at("socket"), at("file"), at("huge"), at("endless"), at("loop"), dir, "relative", "", "/proc/self/ns/\x00", "container:ended", "container:nobody", "container:../ended", "container:", "container:web"}

	all := map[string]func(s *spec.ContainerSpec){}
	for _, file := range files {
		if file != "" {
			all["pid "+file] = func(s *spec.ContainerSpec) { s.Namespaces.PID = file }
			all["ipc "+file] = func(s *spec.ContainerSpec) { s.Namespaces.IPC = file }
			all["uts "+file] = func(s *spec.ContainerSpec) { s.Namespaces.UTS = file }
			all["cgroup "+file] = func(s *spec.ContainerSpec) { s.Namespaces.Cgroup = file }
		}
		all["user "+file] = func(s *spec.ContainerSpec) { s.Namespaces.User = spec.UserNamespace{Mode: spec.UserJoin, Join: file} }
		all["net "+file] = func(s *spec.ContainerSpec) { s.Network = spec.Network{Mode: spec.NetworkJoin, Join: file} }
	}
	for _, file := range append(files, at("others"), at("theirs"), at("deep")) {
		if !strings.HasPrefix(file, "container:") && file != "" {
			all["seccomp "+file] = func(s *spec.ContainerSpec) {
				s.Security.Seccomp, s.Security.SeccompProfileFile = spec.SeccompByProfile, file
			}
		}
	}
	for _, name := range []string{"../x", "..", ".", "", "/etc/passwd", "a/b", "memory.max/../../../x", "cgroup.procs", "cgroup.kill", "cgroup.freeze", "cgroup.subtree_control", "tasks", "notify_on_release", "release_agent", "memory.max\x00", "memory.max\n", "nonexistent.file", strings.Repeat("x", 300)} {
		all["unified "+name] = func(s *spec.ContainerSpec) { s.Resources.Unified = map[string]string{name: "1"} }
	}
	for name, change := range others(dir, at("fifo")) {
		all[name] = change
	}
	for name, change := range all {
		c := n.container("web", "")
		change(&c.Spec)
		soon(t, name, func(ctx context.Context) error {
			err := n.Create(ctx, c, 1, spec.DefaultsVersion)
			if err == nil {
				err = n.Start(ctx, "web", 1)
			}
			if err == nil || len(err.Error()) > 1500 {
				t.Errorf("%q: %.1500v", name, err)
			}
			return n.Destroy(ctx, "web", 1, false)
		})
	}
	if in := n.look(t, "web", 1); in.ID != 0 {
		t.Errorf("left: %+v", in)
	}
}

// Five hundred mounts are no matter; ten thousand are too many, which is said before anything is made.
func TestManyMounts(t *testing.T) {
	n := open(t)
	for _, many := range []int{500, 10_000} {
		c := n.writable("web", "wc -l < /proc/self/mountinfo", spec.Writable{})
		for i := range many {
			c.Spec.Mounts = append(c.Spec.Mounts, spec.Mount{Type: spec.MountBind, Source: n.dir, Destination: fmt.Sprintf("/tmp/m%d", i)})
		}
		soon(t, fmt.Sprint(many), func(ctx context.Context) error {
			err := n.Create(ctx, c, 1, spec.DefaultsVersion)
			if err == nil {
				err = n.Start(ctx, "web", 1)
			}
			if many < 1000 && err != nil || many > 1000 && (err == nil || !strings.Contains(err.Error(), "10000 mounts are more than 1000")) {
				t.Errorf("%.1500v", err)
			}
			return n.Destroy(ctx, "web", 1, false)
		})
	}
}
