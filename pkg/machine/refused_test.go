package machine_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// refused are what no image can hold: a part of the subject, and what is said of it.
var refused = []struct{ part, want string }{
	{"io_uring", "io_uring"},
	{"bpf", "BPF object"},
	{"userfaultfd", "userfaultfd"},
	{"perf", "perf event"},
	{"fanotify", "fanotify"},
	{"landlock", "Landlock ruleset"},
	{"secret", "secret memory"},
	{"vsock", "vsock"},
	{"mptcp", "multipath TCP"},
	{"mqueue", "message queue"},
	{"mount namespace", "mnt namespace of its own"},
	{"pid namespace", "pid namespace of its own"},
	{"user namespace", "user namespace of its own"},
	{"net namespace", "net namespace of its own"},
	{"ghost", "314572800 bytes, is open but has been removed"},
	{"watched", "no name"},
	{"traced", "traces it"},
	{"executed memory", "executes a file in memory"},
	{"outside", "outside of the container"},
}

// What cannot be saved is said before anything is stopped: by whom, and what it is. The container goes on.
func TestRefused(t *testing.T) {
	n := open(t)
	for i, tt := range refused {
		t.Run(tt.part, func(t *testing.T) {
			n.t = t
			defer func() { n.t = n.whole }()
			name := fmt.Sprintf("refused%d", i)
			c := n.subject(name, tt.part)
			c.Spec.Security.Seccomp, c.Spec.Security.AllowNewPrivileges = spec.SeccompUnconfined, true
			c.Spec.Security.Capabilities.Add = []string{"SYS_ADMIN", "SYS_PTRACE", "BPF", "PERFMON", "IPC_LOCK"}
			c.Spec.Sysctls = map[string]string{}
			if tt.part == "mptcp" {
				c.Spec.Sysctls["net.mptcp.enabled"] = "1"
			}
			between := t.TempDir()
			c.Spec.Mounts = []spec.Mount{{Type: "bind", Source: between, Destination: "/between"}}
			n.run(c)
			if tt.part == "outside" {
				n.until("the listener", func() bool { return strings.Contains(n.output(name), "listening") })
				give(t, between+"/socket")
			}
			n.until("the subject", func() bool { return strings.Contains(n.output(name), "up\n") })
			if said := n.output(name); strings.Contains(said, "lacking") {
				t.Skipf("skip: needs a kernel with what is refused: %s", strings.TrimSpace(said))
			}
			n.refuse(name, tt.want)
			must(t, n.Destroy(t.Context(), name, 1, false))
		})
	}
}

// refuse asks for an image that cannot be, and sees that nothing has been done for it.
func (n *node) refuse(name, want string) {
	n.t.Helper()
	before := n.look(name)
	_, err := n.Checkpoint(n.t.Context(), name, 1, spec.CheckpointOptions{Stop: true})
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(fmt.Sprint(err), want) || !strings.Contains(fmt.Sprint(err), name) {
		n.t.Errorf("got %v, want %q", err, want)
	}
	if _, err := os.Stat(n.path("run", "state", name, "1", "criu", "dump.log")); err == nil {
		n.t.Error("criu was started")
	}
	if images, err := n.Images(n.t.Context(), name); err != nil || len(images) > 0 {
		n.t.Errorf("images: %v, %v", images, err)
	}
	if after := n.look(name); after.Phase != spec.InstanceRunning || after.Pid != before.Pid {
		n.t.Errorf("after it: %+v", after)
	}
}

// give hands a file of the node to a container.
func give(t *testing.T, path string) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "outside")
	must(t, err)
	defer f.Close()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	defer c.Close()
	_, _, err = c.WriteMsgUnix([]byte("."), unix.UnixRights(int(f.Fd())), nil)
	must(t, err)
}

// A further process would be lost: it is waited for, or ended, by who asks.
func TestRefusedExec(t *testing.T) {
	n := open(t)
	n.run(n.subject("web"))
	n.until("the subject", func() bool { return strings.Contains(n.output("web"), "up\n") })
	session, err := n.Exec(t.Context(), "web", 1, spec.Exec{Command: []string{"/bin/sleep", "1000"}})
	must(t, err)
	n.refuse("web", "a further process")
	must(t, session.Close())
	n.checkpoint("web", spec.CheckpointOptions{Stop: true})
}

// Manifests of which no image can be taken say so.
func TestRefusedManifests(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	n := open(t)
	auto := func(s *spec.ContainerSpec) { s.Namespaces.User.Mode = spec.UserAuto }
	n.run(n.container("other", "exec sleep 1000"))
	for i, tt := range []struct {
		want string
		say  func(*spec.ContainerSpec)
	}{
		{"pid namespace", func(s *spec.ContainerSpec) { s.Namespaces.PID = spec.NamespaceHost }},
		{"Landlock", func(s *spec.ContainerSpec) {
			s.Security.Landlock = spec.Landlock{ReadWrite: []string{"/"}, Execute: []string{"/"}}
		}},
		{"a group", func(s *spec.ContainerSpec) { auto(s); s.Group = "pair" }},
		{"clocks of its own", func(s *spec.ContainerSpec) { auto(s); s.Namespaces.Time.Mode = spec.TimePrivate }},
		{"ipc namespace of another", func(s *spec.ContainerSpec) { auto(s); s.Namespaces.IPC = "container:other" }},
		{"net namespace of another", func(s *spec.ContainerSpec) {
			auto(s)
			s.Network = spec.Network{Mode: spec.NetworkJoin, Join: "container:other"}
		}},
	} {
		name := fmt.Sprintf("refused%d", i)
		c := n.container(name, "echo up; exec sleep 1000")
		tt.say(&c.Spec)
		if tt.want == "Landlock" && feature.Landlock.Probe() != nil {
			continue
		}
		n.run(c)
		n.refuse(name, tt.want)
		must(t, n.Destroy(t.Context(), name, 1, false))
	}
}
