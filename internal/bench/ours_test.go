package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/machine"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// node is ours: an agent in this process, and its keeper.
type node struct {
	*linux.Node
	rootfs string
	mark   mark
}

// newRootfs is a rootfs as images have it, with the files of /etc that every engine puts its own over, and the payload's mount point.
func newRootfs(b *testing.B) string {
	b.Helper()
	dir := directory(b, "")
	if err := kerneltest.WriteRootfs(b, dir); err != nil {
		b.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "mark"), 0o755); err != nil {
		b.Fatal(err)
	}
	for _, file := range []string{"hosts", "resolv.conf"} {
		if err := os.WriteFile(filepath.Join(dir, "etc", file), nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// newNode is a machine's node without its images.
func newNode(b *testing.B, rootfs string, m mark) *node {
	b.Helper()
	return &node{newMachine(b).Node, rootfs, m}
}

// newMachine opens a node whose run directory is in memory, and whose logs, layers and images are on disk.
func newMachine(b *testing.B) *machine.Node {
	b.Helper()
	memory, disk := memory(b), directory(b, "")
	n, err := machine.Open(context.Background(), machine.Config{Config: linux.Config{
		RunDir: filepath.Join(memory, "run"), StateDir: filepath.Join(disk, "state"), LogDir: filepath.Join(disk, "log"),
		CgroupParent: kerneltest.Parent(b), Log: logr.Discard(),
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = n.Shutdown(context.Background())
		_ = n.Close()
	})
	return n
}

// variant is a container with something more than the ordinary.
type variant struct {
	name string
	more func(s *spec.ContainerSpec)
}

// variants begin with the ordinary container: namespaces of its own, a read-only root, limits, the default filter.
var variants = []variant{
	{"ours", func(*spec.ContainerSpec) {}},
	{"users", func(s *spec.ContainerSpec) { s.Namespaces.User.Mode = spec.UserAuto }},
	{"bridge", func(s *spec.ContainerSpec) { s.Network.Mode = spec.NetworkBridge }},
	{"terminal", func(s *spec.ContainerSpec) { s.TTY, s.Stdin = true, true }},
	{"profile", profiled},
	{"disk", func(s *spec.ContainerSpec) { s.Rootfs.ReadOnly, s.Rootfs.Writable.Medium = false, spec.MediumDisk }},
}

// everything is all of it together, and more.
var everything = variant{"everything", func(s *spec.ContainerSpec) {
	for _, v := range variants {
		v.more(s)
	}
	s.Init, s.Hostname, s.Env = true, "inside", map[string]string{"LOG": "info"}
	s.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "0"}
	s.Rlimits = map[string]spec.Rlimit{"NOFILE": {Soft: 512, Hard: 1024}}
	s.Devices = []spec.Device{{Path: "/dev/nothing", Source: "/dev/null"}}
	s.Resources.CPU.Max = spec.NewCores(900_000)
}}

// profiled filters by the profile that the engines get.
func profiled(s *spec.ContainerSpec) {
	s.Security.Seccomp = spec.SeccompByProfile
	s.Security.SeccompProfile = spec.SeccompProfile{
		DefaultAction: spec.SeccompErrno,
		Syscalls:      []spec.SeccompRule{{Names: allowed(), Action: spec.SeccompAllow}},
	}
}

func (n *node) container(name string, command ...string) spec.Container {
	return spec.Container{
		APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: name},
		Spec: spec.ContainerSpec{
			Rootfs: spec.Rootfs{Path: n.rootfs, ReadOnly: true}, Command: command,
			Mounts:    []spec.Mount{{Type: "bind", Source: n.mark.dir, Destination: "/mark"}},
			Resources: spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(256 << 20)}, Pids: spec.Pids{Max: spec.NewLimit(100)}},
		},
	}
}

func (n *node) run(b *testing.B, c spec.Container) {
	if err := n.Create(context.Background(), c, 1, spec.DefaultsVersion); err != nil {
		b.Fatal(err)
	}
	if err := n.Start(context.Background(), c.Metadata.Name, 1); err != nil {
		b.Fatal(err)
	}
	n.mark.wait(b)
}

func (n *node) destroy(b *testing.B, name string) {
	if err := n.Destroy(context.Background(), name, 1, false); err != nil {
		b.Fatal(err)
	}
}

// starts creates, starts and destroys containers of a variant.
func (n *node) starts(v variant) subject {
	name := func(round int) string { return fmt.Sprintf("%s-%d", v.name, round) }
	return subject{v.name, true, []step{{"start", func(b *testing.B, round int) {
		c := n.container(name(round), payload...)
		v.more(&c.Spec)
		n.run(b, c)
	}}, {"destroy", func(b *testing.B, round int) { n.destroy(b, name(round)) }}}}
}

// confined lets processes of the container trace, so that an exec must not be born in the node's memory.
var confined = variant{"confined", func(s *spec.ContainerSpec) { s.Security.Capabilities.Add = []string{"SYS_PTRACE"} }}

// talks are execs in an ordinary container, in others and in one with everything, and an attach.
func (n *node) talks(b *testing.B) []subject {
	b.Helper()
	var subjects []subject
	for _, v := range []variant{variants[0], variants[1], confined, everything} {
		c := n.container("exec-"+v.name, payload...)
		v.more(&c.Spec)
		n.run(b, c)
		b.Cleanup(func() { n.destroy(b, c.Metadata.Name) })
		subjects = append(subjects, subject{v.name, true, []step{{"exec", func(b *testing.B, _ int) { n.execTrue(b, c.Metadata.Name) }}}})
	}
	echo := n.container("echo", "/bin/sh", "-c", "echo >/mark/mark; while read line; do echo $line; done")
	echo.Spec.Stdin = true
	n.run(b, echo)
	b.Cleanup(func() { n.destroy(b, "echo") })
	return append(subjects, subject{"attach", true, []step{{"exec", func(b *testing.B, _ int) { n.attach(b, "echo") }}}})
}

func (n *node) execTrue(b *testing.B, name string) {
	s, err := n.Exec(context.Background(), name, 1, spec.Exec{Command: []string{"true"}})
	if err != nil {
		b.Fatal(err)
	}
	if exit, err := s.Wait(context.Background()); err != nil || exit.Code != 0 {
		b.Fatal(exit, err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

func (n *node) attach(b *testing.B, name string) {
	s, err := n.Attach(context.Background(), name, 1)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.WriteString(s.Stdin(), "hello\n"); err != nil {
		b.Fatal(err)
	}
	if line, err := bufio.NewReader(s.Stdout()).ReadString('\n'); err != nil {
		b.Fatal(line, err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
