package machine_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// subjectPath is where containers find the program of testdata/subject.
const subjectPath = "/bin/subject"

// buildSubject builds it, once, unless that was done elsewhere, and reads it.
var buildSubject = sync.OnceValues(func() ([]byte, error) {
	if built := os.Getenv("RECONCILER_BUILT"); built != "" {
		return os.ReadFile(filepath.Join(built, "subject"))
	}
	dir, err := os.MkdirTemp("", "subject")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "subject")
	cmd := exec.Command("go", "build", "-o", path, "./testdata/subject")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot build: %w\n%s", err, out)
	}
	return os.ReadFile(path)
})

// subject makes a container with that program, and puts it into the rootfs.
func (n *node) subject(name string, args ...string) spec.Container {
	n.t.Helper()
	if os.Getenv("RECONCILER_BUILT") == "" {
		if _, err := exec.LookPath("go"); err != nil {
			n.t.Skip("skip: needs go, to build what images are taken of")
		}
	}
	text, err := buildSubject()
	must(n.t, err)
	must(n.t, os.WriteFile(n.path("rootfs", subjectPath), text, 0o755))
	must(n.t, os.WriteFile(n.path("rootfs", "etc", "hostname2"), []byte("to be removed"), 0o644))
	c := n.container(name, "")
	c.Spec.Command = append([]string{subjectPath}, args...)
	c.Spec.Checkpoint.Retain = 3
	return c
}

// ask has the subject look at itself, and gives what is not as it was.
func (n *node) ask(name string) string {
	n.t.Helper()
	before := n.output(name)
	must(n.t, n.Kill(n.t.Context(), name, 1, "SIGUSR1"))
	var said string
	deadline := time.Now().Add(patience * 2 / 3)
	n.until("an answer of "+name, func() bool {
		if time.Now().After(deadline) { // the runtime says where everybody is
			_ = n.Kill(n.t.Context(), name, 1, "SIGQUIT")
			n.until("the end", func() bool { return n.look(name).Phase == spec.InstanceExited })
			n.t.Fatalf("%s never answers:\n%s", name, strings.TrimPrefix(n.output(name), before))
		}
		said = strings.TrimPrefix(n.output(name), before)
		if in := n.look(name); in.Phase == spec.InstanceExited {
			n.t.Fatalf("%s has ended: %+v: %s", name, in.Exit, said)
		}
		return strings.Contains(said, " failed of ")
	})
	if strings.Contains(said, ": 0 failed of ") {
		return ""
	}
	return said
}

// checkpoint takes an image; its log is told when it fails.
func (n *node) checkpoint(name string, o spec.CheckpointOptions) spec.Image {
	n.t.Helper()
	img, err := n.Checkpoint(n.t.Context(), name, 1, o)
	if err != nil {
		n.t.Fatalf("%v\n%s", err, n.criuLog(name, "dump.log"))
	}
	if o.Stop {
		n.until("the end", func() bool { return n.look(name).Phase == spec.InstanceExited })
	}
	return img
}

// restore restores an image; its log is told when it fails.
func (n *node) restore(name, ref string) {
	n.t.Helper()
	if err := n.Restore(n.t.Context(), name, 1, ref); err != nil {
		n.t.Fatalf("%v\n%s", err, n.criuLog(name, "restore.log"))
	}
}

func (n *node) criuLog(name, file string) string {
	text, _ := os.ReadFile(n.path("run", "state", name, "1", "criu", file))
	return string(text[max(0, len(text)-20000):])
}

// rounds takes images of a subject and restores them: one that leaves it running, after whose end it is restored, and then two that end it.
func (n *node) rounds(c spec.Container) {
	n.t.Helper()
	name := c.Metadata.Name
	n.run(c)
	n.until("the subject", func() bool {
		if in := n.look(name); in.Phase == spec.InstanceExited {
			n.t.Fatalf("%s has ended: %+v: %s", name, in.Exit, n.output(name))
		}
		return strings.Contains(n.output(name), "up\n")
	})
	ask := func(when string) {
		n.t.Helper()
		if bad := n.ask(name); bad != "" {
			n.t.Errorf("%s:\n%s", when, bad)
		}
	}
	ask("before")
	img := n.checkpoint(name, spec.CheckpointOptions{})
	ask("after an image")
	must(n.t, n.Kill(n.t.Context(), name, 1, "SIGKILL"))
	n.until("the end", func() bool { return n.look(name).Phase == spec.InstanceExited })
	n.restore(name, img.Ref())
	ask("restored")
	for round := range 2 {
		img := n.checkpoint(name, spec.CheckpointOptions{Stop: true})
		n.restore(name, img.Ref())
		ask(fmt.Sprintf("restored again, %d", round+1))
	}
	n.t.Logf("%s: frozen %v", name, img.Frozen)
}

// workloads are what containers do that images are taken of, and what their manifests say besides.
var workloads = []struct {
	name  string
	parts []string
	say   func(*spec.ContainerSpec)
	other bool // as another user than root
}{
	{name: "memory", parts: []string{"heap=64", "threads=64", "mapped", "clock"}},
	{name: "files", parts: []string{"deleted", "append", "fifo", "locks", "layer", "cwd"}},
	{name: "dev", parts: []string{"dev", "devshm"}},
	{name: "descriptors", parts: []string{"eventfd", "timerfd", "signalfd", "inotify", "memfd", "pty", "pidfd"}},
	{name: "ipc", parts: []string{"sysv", "unix", "tcp", "udp"}},
	{name: "processes", parts: []string{"tree=50", "zombie", "stopped", "sessions", "shared"}},
	{name: "plain", parts: []string{"attributes", "mounts"}},
	{name: "chosen", parts: []string{"chosen"}},
	{name: "said", parts: []string{"attributes", "mounts", "cwd"}, say: sayMuch},
	{name: "user", other: true, parts: []string{"attributes", "mounts", "append", "unix", "fifo"}, say: func(s *spec.ContainerSpec) {
		s.User, s.Rootfs.ReadOnly, s.Mounts = "web:audio", true, []spec.Mount{{Type: "tmpfs", Destination: "/tmp"}, {Type: "tmpfs", Destination: "/small", Options: []string{"size=1m", "noexec", "mode=0700"}}}
	}},
	{name: "read-only", parts: []string{"attributes", "mounts", "devshm"}, say: func(s *spec.ContainerSpec) {
		s.Rootfs.ReadOnly, s.Mounts = true, []spec.Mount{{Type: "tmpfs", Destination: "/data/in/memory"}}
	}},
	{name: "privileges", parts: []string{"attributes", "mounts", "deleted"}, say: func(s *spec.ContainerSpec) {
		s.Security.AllowNewPrivileges, s.Security.Seccomp = true, spec.SeccompUnconfined
		s.Security.Capabilities = spec.Capabilities{Add: []string{"SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"}, Drop: []string{"CHOWN"}}
		s.Security.MaskedPaths, s.Security.ReadonlyPaths = &[]string{}, &[]string{}
	}},
	{name: "layer of the instance", parts: []string{"layer", "append", "locks", "inotify", "mapped"}, say: func(s *spec.ContainerSpec) { s.Rootfs.Writable.Life = spec.LifeInstance }},
	{name: "layer of the name on disk", parts: []string{"layer", "append", "locks", "inotify", "mapped"}, say: func(s *spec.ContainerSpec) {
		s.Rootfs.Writable = spec.Writable{Medium: spec.MediumDisk, Life: spec.LifeName}
	}},
	{name: "init", parts: []string{"tree=3", "zombie", "clock", "attributes"}, say: func(s *spec.ContainerSpec) { s.Init = true }},
	{name: "the node's", parts: []string{"attributes", "unix", "udp"}, say: func(s *spec.ContainerSpec) {
		s.Network.Mode, s.Namespaces.IPC, s.Namespaces.UTS, s.Namespaces.Cgroup, s.Hostname = spec.NetworkHost, spec.NamespaceHost, spec.NamespaceHost, spec.NamespaceHost, ""
		s.Env = map[string]string{"GODEBUG": "multipathtcp=0"}
	}},
	{name: "clocks", parts: []string{"clock", "timerfd", "attributes"}, say: func(s *spec.ContainerSpec) {
		if s.Namespaces.User.Mode == spec.UserHost { // the other cannot be saved
			s.Namespaces.Time.Monotonic = spec.Offset(10 * time.Hour)
		}
	}},
	{name: "devices", parts: []string{"attributes", "mounts"}, say: func(s *spec.ContainerSpec) {
		s.Devices = []spec.Device{{Path: "/dev/further", Source: "/dev/null", Mode: "0640"}, {Path: "/dev/dir/loop", Type: spec.DeviceBlock, Major: spec.NewNumber(7), Minor: spec.NewNumber(0)}}
	}},
	{name: "direct", parts: []string{"locks", "attributes", "mounts"}, say: func(s *spec.ContainerSpec) {
		s.Rootfs.Writable.Medium = spec.MediumDirect
	}},
	{name: "no network", parts: []string{"attributes", "unix"}, say: func(s *spec.ContainerSpec) { s.Network.Mode = spec.NetworkNone }},
}

// sayMuch says what a manifest can say of a process and of its tree.
func sayMuch(s *spec.ContainerSpec) {
	s.Env = map[string]string{"ONE": "1", "EMPTY": "", "LINES": "a\nb"}
	s.Command = append(s.Command, "attributes=with arguments")
	s.Hostname, s.Domainname, s.Umask, s.WorkingDir, s.AdditionalGroups = "inside", "example", "0027", "/home/web", []string{"audio", "4711"}
	s.Rlimits = map[string]spec.Rlimit{"nofile": {Soft: 100, Hard: 200}, "core": {Soft: 0, Hard: 1 << 20}, "stack": {Soft: 4 << 20, Hard: 8 << 20}, "memlock": {Soft: 1 << 16, Hard: 1 << 16}}
	s.OOMScoreAdj, s.Scheduler.Nice, s.CPUAffinity.Final = spec.NewOOMScore(300), 5, "0"
	s.IOPriority = spec.IOPriority{Class: spec.IOClassBE, Priority: 6}
	s.Personality.Flags = []string{"ADDR_NO_RANDOMIZE"}
	s.Security.Capabilities = spec.Capabilities{Drop: []string{"ALL"}, Add: []string{"CHOWN", "KILL"}}
	s.Sysctls = map[string]string{
		"kernel.shmmax": "1234567", "kernel.msgmax": "4096", "kernel.sem": "100 2000 50 60", "fs.mqueue.msg_max": "7", "net.ipv4.ip_unprivileged_port_start": "77", "net.ipv4.ping_group_range": "0 1000",
	}
	s.Mounts = []spec.Mount{
		{Type: "bind", Source: "/etc/hostname", Destination: "/data/name", Options: []string{"ro"}},
		{Type: "bind", Source: "/usr/share", Destination: "/share", Options: []string{"ro", "nosuid", "nodev", "noexec", "noatime"}},
		{Type: "tmpfs", Destination: "/scratch", Options: []string{"size=2m", "mode=1750", "nr_inodes=100"}},
		{Type: "tmpfs", Destination: "/scratch/below", Options: []string{"ro"}},
		{Type: "bind", Source: "/proc/version", Destination: "/version", Options: []string{"ro"}},
	}
}

// What programs have and do is as it was after an image, and after a restore, and so on.
func TestWorkloads(t *testing.T) {
	for _, w := range workloads {
		for _, users := range []spec.UserMode{spec.UserHost, spec.UserAuto} {
			t.Run(w.name+"/"+string(users), func(t *testing.T) {
				if w.other && users == spec.UserHost {
					kerneltest.Require(t, feature.OthersLimits)
				}
				if users != spec.UserHost {
					kerneltest.Require(t, feature.UserNamespaces)
				}
				n := open(t)
				c := n.subject("subject", w.parts...)
				c.Spec.Namespaces.User.Mode = users
				if w.say != nil {
					w.say(&c.Spec)
				}
				n.rounds(c)
			})
		}
	}
}
