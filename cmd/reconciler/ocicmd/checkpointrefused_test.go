package ocicmd_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

// What cannot be saved, and what this runtime cannot keep, is refused in plain words, and the container goes on.
func TestCheckpointRefuses(t *testing.T) {
	w := newImageWorld(t)
	image := w.image()
	bundle := w.bundle("c", counter, writable)
	w.refused(1, "container does not exist", "checkpoint", "--image-path", image, "c")
	w.run("create", "--bundle", bundle, "c")
	w.refused(1, "cannot be checkpointed in created state", "checkpoint", "--image-path", image, "c")
	w.run("kill", "c", "KILL")
	w.is("c", specs.StateStopped)
	w.refused(1, "cannot be checkpointed in stopped state", "checkpoint", "--image-path", image, "c")
	w.run("delete", "c")

	c := w.counts()
	w.into(c, "run", "--detach", "--bundle", bundle, "c")
	w.further(c)
	for _, row := range []struct {
		text string
		args []string
	}{
		{`manage-cgroups-mode full is not supported`, []string{"--manage-cgroups-mode", "full"}},
		{`manage-cgroups-mode strict is not supported`, []string{"--manage-cgroups-mode", "strict"}},
		{"invalid manage-cgroups-mode", []string{"--manage-cgroups-mode", "x"}},
		{"is not supported: what is in others than network", []string{"--empty-ns", "pid"}},
		{"invalid network-lock", []string{"--network-lock", "x"}},
		{"must be relative", []string{"--parent-path", "/"}},
		{"invalid --parent-path", []string{"--parent-path", "../none"}},
		{"need one another", []string{"--lazy-pages"}},
		{"need one another", []string{"--page-server", "127.0.0.1:7"}},
		{"invalid page-server", []string{"--page-server", "7", "--lazy-pages"}},
		{"invalid status-fd", []string{"--status-fd", "9"}},
		{"cannot be both kept and closed", []string{"--tcp-established", "--tcp-close"}},
		{"not defined", []string{"--strange"}},
	} {
		w.refused(1, row.text, append(append([]string{"checkpoint", "--image-path", image}, row.args...), "c")...)
	}
	w.refused(1, "cannot use /none as criu", "--criu", "/none", "checkpoint", "--image-path", image, "c")

	cmd := w.command("exec", "c", "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.soon("executed", func() bool { return strings.Contains(w.run("ps", "c"), "sleep 1000") })
	w.refused(1, "no descendant of the container's first process", "checkpoint", "--image-path", image, "c")
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	w.run("exec", "c", "killall", "-9", "sleep")
	w.run("exec", "c", "touch", "/dev/mqueue/queue")
	w.refused(1, "POSIX message queues (queue in /dev/mqueue)", "checkpoint", "--image-path", image, "c")
	w.run("exec", "c", "rm", "/dev/mqueue/queue")
	w.further(c)
	w.refused(1, "flag needs an argument", "restore", "--lsm-mount-context") // by which engines know that there is one
	if r := w.try("checkpoint", "--help"); r.code != 0 {
		t.Errorf("--help: %+v", r) // by which they know that there is the verb
	}
}

// What does not fit is refused before anything runs, and nothing is left of it.
func TestRestoreRefuses(t *testing.T) {
	w := newImageWorld(t)
	c := w.counts()
	bundle := w.bundle("c", counter, writable)
	w.refused(1, "no such file", "restore", "--image-path", w.image(), "--bundle", bundle, "c")
	w.into(c, "run", "--detach", "--bundle", bundle, "c")
	w.further(c)
	w.run("checkpoint", "--image-path", w.image(), "c")
	refused := func(text, image string, args []string, edit ...func(*specs.Spec)) {
		t.Helper()
		config := w.bundle("c", counter, append([]func(*specs.Spec){writable}, edit...)...)
		w.refused(1, text, append(append([]string{"restore", "--detach", "--image-path", image, "--bundle", config}, args...), "c")...)
		w.refused(1, "container does not exist", "state", "c")
	}
	without := func(kind specs.LinuxNamespaceType) func(*specs.Spec) {
		return func(s *specs.Spec) {
			for i, n := range s.Linux.Namespaces {
				if n.Type == kind {
					s.Linux.Namespaces = append(s.Linux.Namespaces[:i:i], s.Linux.Namespaces[i+1:]...)
				}
			}
			if kind == specs.UTSNamespace {
				s.Hostname = ""
			}
		}
	}
	at := func(kind specs.LinuxNamespaceType) func(*specs.Spec) {
		return func(s *specs.Spec) {
			for i, n := range s.Linux.Namespaces {
				if n.Type == kind {
					s.Linux.Namespaces[i].Path = "/proc/self/ns/" + string(kind)
				}
			}
		}
	}
	refused("--no-pivot is not supported", w.image(), []string{"--no-pivot"})
	refused("another pid namespace", w.image(), nil, without(specs.PIDNamespace))
	refused("another ipc namespace", w.image(), nil, without(specs.IPCNamespace))
	refused("another net namespace", w.image(), nil, without(specs.NetworkNamespace))
	refused("another's pid namespace", w.image(), nil, at(specs.PIDNamespace))
	refused("org.criu.config", w.image(), nil, func(s *specs.Spec) { s.Annotations = map[string]string{"org.criu.config": "/etc/criu/other.conf"} })
	refused("a terminal", w.image(), nil, func(s *specs.Spec) { s.Process.Terminal = true })
	for name, spoil := range map[string]func(dir string) error{
		"descriptors.json": os.Remove,
		"inventory.img":    os.Remove,
		"core-1.img":       func(p string) error { return os.Truncate(p, 40) },
		"pstree.img":       func(p string) error { return os.WriteFile(p, []byte("x"), 0o600) },
		"external.json":    func(p string) error { return os.WriteFile(p, []byte(`{"files":{"file[1:1]":"shadow"}}`), 0o600) },
	} {
		spoilt := filepath.Join(w.dir, "spoilt")
		if out, err := exec.Command("cp", "-r", w.image(), spoilt).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := spoil(filepath.Join(spoilt, name)); err != nil {
			t.Fatal(err)
		}
		refused("", spoilt, nil)
		if err := os.RemoveAll(spoilt); err != nil {
			t.Error(err)
		}
	}
	w.into(c, "restore", "--detach", "--image-path", w.image(), "--bundle", w.bundle("c", counter, writable), "c")
	w.further(c)
}

// Without memory tracking there are no earlier images; the container goes on.
func TestPreDump(t *testing.T) {
	w := newImageWorld(t)
	c := w.counts()
	bundle := w.bundle("c", counter, writable)
	w.into(c, "run", "--detach", "--bundle", bundle, "c")
	w.further(c)
	r := w.try("checkpoint", "--pre-dump", "--image-path", filepath.Join(w.dir, "early"), "c")
	w.further(c)
	if strings.Contains(r.err, "tracks which memory changes") {
		w.refused(1, "tracks which memory changes", "checkpoint", "--parent-path", "../early", "--image-path", w.image(), "c")
		t.Skip("skip: the rest needs a kernel that tracks memory: CONFIG_MEM_SOFT_DIRTY")
	}
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	w.run("checkpoint", "--parent-path", "../early", "--image-path", w.image(), "c")
	w.into(c, "restore", "--detach", "--image-path", w.image(), "--bundle", bundle, "c")
	w.further(c)
}

// A container with users of its own keeps them.
func TestRestoredUserNamespace(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	queues := ownerOfQueues(t)
	w := newImageWorld(t)
	c := w.counts()
	data := filepath.Join(w.dir, "data")
	for name, text := range map[string]string{"file": "below\n", "other": "bound\n"} {
		if err := errors.Join(os.MkdirAll(data, 0o755), os.WriteFile(filepath.Join(data, name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	mine := func(first uint32) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data", Type: "bind", Source: data, Options: []string{"rbind", "ro"}},
				specs.Mount{Destination: "/data/file", Type: "bind", Source: filepath.Join(data, "other"), Options: []string{"bind", "ro"}})
			maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: first, Size: 65536}}
			s.Linux.UIDMappings, s.Linux.GIDMappings = maps, maps
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		}
	}
	script := `i=0; while true; do i=$((i+1)); echo $i; sleep 0.02; done`
	bundle := w.bundle("u", script, writable, mine(300000))
	w.into(c, "run", "--detach", "--bundle", bundle, "u")
	w.further(c)
	w.run("checkpoint", "--image-path", w.image(), "u")
	w.refused(1, "other ids", "restore", "--detach", "--image-path", w.image(), "--bundle", w.bundle("u", script, writable, mine(400000)), "u")
	w.into(c, "restore", "--detach", "--image-path", w.image(), "--bundle", w.bundle("u", script, writable, mine(300000)), "u")
	w.further(c)
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d", w.state("u").Pid), &st); err != nil || st.Uid != 300000 {
		t.Errorf("on the node it is user %d, %v", st.Uid, err)
	}
	if got := strings.Fields(w.run("exec", "u", "cat", "/proc/self/uid_map", "/proc/1/uid_map")); fmt.Sprint(got) != "[0 300000 65536 0 300000 65536]" {
		t.Errorf("its users: %v", got)
	}
	if got := w.run("exec", "u", "cat", "/data/file", "/data/other"); got != "bound\nbound\n" {
		t.Errorf("what is bound: %q", got)
	}
	if uid := ownerOfQueues(t); uid != queues {
		t.Errorf("the node's message queues belong to user %d, and belonged to %d", uid, queues)
	}
}

// ownerOfQueues is whose the node's message queues are.
func ownerOfQueues(t *testing.T) uint32 {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("mqueue", dir, "mqueue", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Uid
}

// Memory follows: the processes run before it is there.
func TestLazyRestore(t *testing.T) {
	w := newImageWorld(t)
	c := w.counts()
	bundle := w.bundle("c", counter, writable)
	work := filepath.Join(w.dir, "work")
	w.into(c, "run", "--detach", "--bundle", bundle, "c")
	w.further(c)
	w.run("checkpoint", "--image-path", w.image(), "c")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("criu", "lazy-pages", "--images-dir", w.image(), "--work-dir", work)
	server.Dir = work
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Wait()
	defer server.Process.Kill()
	w.soon("served", func() bool { _, err := os.Stat(filepath.Join(work, "lazy-pages.socket")); return err == nil })
	w.into(c, "restore", "--detach", "--lazy-pages", "--image-path", w.image(), "--work-path", work, "--bundle", bundle, "c")
	w.further(c)
	if err := server.Wait(); err != nil {
		t.Errorf("criu lazy-pages: %v", err)
	}
	w.further(c)
}

// Whenever a checkpoint is killed, the container is there, or its image; whenever a restore is, deletion by force leaves nothing.
func TestCheckpointKilledAnywhere(t *testing.T) {
	w := newImageWorld(t)
	c := w.counts()
	bundle := w.bundle("k", counter, writable)
	kill := func(after time.Duration, args ...string) {
		t.Helper()
		cmd := w.command(args...)
		cmd.Stdout, cmd.Stderr = c.pipe, c.pipe
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	w.into(c, "run", "--detach", "--bundle", bundle, "k")
	for i := range 16 {
		w.further(c)
		kill(time.Duration(i)*12*time.Millisecond, "checkpoint", "--leave-running", "--image-path", filepath.Join(w.dir, "half"), "k")
		w.further(c)
		w.is("k", specs.StateRunning)
	}
	w.soon("saved", func() bool { return w.try("checkpoint", "--image-path", w.image(), "k").code == 0 }) // the last criu may not have noticed yet
	for i := range 16 {
		kill(time.Duration(i)*16*time.Millisecond, "restore", "--detach", "--image-path", w.image(), "--bundle", bundle, "k")
		w.try("state", "k")
		w.run("delete", "--force", "k")
		w.refused(1, "container does not exist", "state", "k")
	}
	w.into(c, "restore", "--detach", "--image-path", w.image(), "--bundle", bundle, "k")
	w.further(c)
}
