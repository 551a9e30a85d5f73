package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// steady is a container that runs until it is asked to end, with an environment that tells its version.
func steady(name, version string, more ...string) string {
	return manifest(name, "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done", append([]string{"  env: {VERSION: v" + version + "}\n"}, more...)...)
}

// runsOn checks that a container still is the process that it was.
func (n *node) runsOn(what, name string, pid int) {
	n.t.Helper()
	if o := n.phase(name, spec.PhaseRunning); o.Status.Container.Pid != pid {
		n.t.Errorf("%s: %s is process %d, was %d", what, name, o.Status.Container.Pid, pid)
	}
}

// told waits until a condition of a container, or its message, says something.
func (n *node) told(name, text string) {
	n.t.Helper()
	n.eventually(fmt.Sprintf("%s says %q", name, text), func() error {
		out, err := n.cli("describe", name)
		if err == nil && !strings.Contains(out, text) {
			err = fmt.Errorf("it says:\n%s", out)
		}
		return err
	})
}

// With a full disk what runs runs on, and is not replaced by what could not be written down; the status says so, and room is enough to go on.
func TestDiskFull(t *testing.T) {
	kerneltest.Root(t)
	disk, err := os.MkdirTemp("", "re2edisk")
	if err == nil {
		err = unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m,mode=0700")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH); _ = os.Remove(disk) }) // after the node has gone
	n := newNode(t)
	n.extra = []string{"--state-dir", disk}
	n.put("web.yaml", steady("web", "1"))
	n.start()
	pid := n.phase("web", spec.PhaseRunning).Status.Container.Pid
	fill := filepath.Join(disk, "fill")
	fillUp(t, fill)
	n.put("web.yaml", steady("web", "2"))
	n.put("late.yaml", steady("late", "1"))
	n.told("web", "no space left on device")
	n.runsOn("full", "web", pid)
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	n.told("web", "Ready     True")
	n.phase("late", spec.PhaseRunning)
}

// fillUp takes all the room there is.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

// A record that cannot be read holds its name: what runs runs on, and the status says why nothing is done about it; an agent that can read it goes on.
func TestDiskUnreadable(t *testing.T) {
	n := newNode(t)
	n.put("web.yaml", steady("web", "1"))
	n.put("other.yaml", steady("other", "1"))
	n.start()
	pid := n.phase("web", spec.PhaseRunning).Status.Container.Pid
	n.phase("other", spec.PhaseRunning)
	n.signal(syscall.SIGTERM)
	n.put("web.yaml", steady("web", "2"))
	n.put("other.yaml", steady("other", "2"))
	give := unreadable(t, n.path("state/inventory/web.json"))
	n.start()
	n.told("web", "cannot read the record")
	n.told("other", "v2")
	n.runsOn("unreadable", "web", pid)
	n.signal(syscall.SIGTERM)
	give()
	n.start()
	n.eventually("web is replaced", func() error {
		if o, err := n.get("web"); err != nil || o.Status.Container.Pid == pid || o.Status.Phase != spec.PhaseRunning {
			return fmt.Errorf("%v, %+v", err, o.Status.Container)
		}
		return nil
	})
}

// unreadable makes a file one that nobody can open for now, by a lease that is not given back, as on a disk that does not answer.
func unreadable(t *testing.T, path string) (give func()) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("skip: no write lease on %s: %v", path, err)
	}
	return func() { f.Close() }
}

// A node that makes no more processes starts nothing new and ends nothing old; it is tried again until it goes.
func TestForkFails(t *testing.T) {
	tracer := strace(t)
	n := newNode(t)
	n.put("web.yaml", steady("web", "1"))
	n.start()
	pid := n.phase("web", spec.PhaseRunning).Status.Container.Pid
	stop := n.traceKeeper(tracer, "/dev/null", "-e", "trace=clone3,clone,fork,vfork", "-e", "inject=clone3,clone,fork,vfork:error=EAGAIN")
	n.put("late.yaml", steady("late", "1"))
	n.told("late", "resource temporarily unavailable")
	n.runsOn("no processes", "web", pid)
	stop()
	n.phase("late", spec.PhaseRunning)
	n.runsOn("afterwards", "web", pid)
}

// Two agents on one node, whatever they share, are one: the second says whose it is, and changes nothing.
func TestTwoAgents(t *testing.T) {
	n := newNode(t)
	n.put("web.yaml", steady("web", "1"))
	n.start()
	pid := n.phase("web", spec.PhaseRunning).Status.Container.Pid
	empty := n.path("empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	whose := fmt.Sprint(n.agent.Process.Pid)
	for what, change := range map[string][]string{
		"everything":  nil,
		"its state":   {"--run-dir", n.path("run2"), "--cgroup-parent", n.parent + "-2"},
		"its cgroups": {"--run-dir", n.path("run2"), "--state-dir", n.path("state2")},
	} {
		out, err := n.once(append([]string{"--manifests", empty, "--prune", "always"}, change...)...)
		if err == nil || !strings.Contains(out, whose) {
			t.Errorf("sharing %s: %v\n%s", what, err, out)
		}
		n.runsOn("sharing "+what, "web", pid)
	}
	for _, dir := range []string{"run2", "state2"} {
		left, _ := filepath.Glob(n.path(dir + "/*/*"))
		for _, file := range left {
			if ext := filepath.Ext(file); ext == ".lock" || ext == ".log" || ext == ".sock" {
				continue // who took these has ended
			}
			t.Errorf("left: %s", file)
		}
	}
}
