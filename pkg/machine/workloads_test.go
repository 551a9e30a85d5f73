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

// buildSubject builds it, once, unless that was done elsewhere.
var buildSubject = sync.OnceValues(func() (string, error) {
	if built := os.Getenv("RECONCILER_BUILT"); built != "" {
		return filepath.Join(built, "subject"), nil
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("subject-%d", os.Getpid()))
	cmd := exec.Command("go", "build", "-o", path, "./testdata/subject")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build: %w\n%s", err, out)
	}
	return path, nil
})

// subject makes a container with that program, and puts it into the rootfs.
func (n *node) subject(name string, args ...string) spec.Container {
	n.t.Helper()
	if os.Getenv("RECONCILER_BUILT") == "" {
		if _, err := exec.LookPath("go"); err != nil {
			n.t.Skip("skip: needs go, to build what images are taken of")
		}
	}
	program, err := buildSubject()
	must(n.t, err)
	text, err := os.ReadFile(program)
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
	root  bool // only without users of its own: why is at the row
}{
	{name: "memory", parts: []string{"heap=64", "threads=64", "mapped", "clock"}},
	{name: "files", parts: []string{"deleted", "append", "fifo", "locks", "layer", "cwd"}},
	{name: "dev", parts: []string{"dev", "devshm"}},
	{name: "descriptors", parts: []string{"eventfd", "timerfd", "signalfd", "inotify", "memfd", "pty", "pidfd"}},
	{name: "ipc", parts: []string{"sysv", "unix", "tcp", "udp"}},
	{name: "processes", parts: []string{"tree=50", "zombie", "stopped", "sessions", "shared"}},
}

// What programs have and do is as it was after an image, and after a restore, and so on.
func TestWorkloads(t *testing.T) {
	for _, w := range workloads {
		for _, users := range []spec.UserMode{spec.UserHost, spec.UserAuto} {
			if w.root && users != spec.UserHost {
				continue
			}
			t.Run(w.name+"/"+string(users), func(t *testing.T) {
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
