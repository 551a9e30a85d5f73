package ocicmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// beside puts a container into the pid namespace of another.
func (w *world) beside(id string) func(*specs.Spec) {
	path := fmt.Sprintf("/proc/%d/ns/pid", w.state(id).Pid)
	return func(s *specs.Spec) {
		for i := range s.Linux.Namespaces {
			if s.Linux.Namespaces[i].Type == specs.PIDNamespace {
				s.Linux.Namespaces[i].Path = path
			}
		}
	}
}

// A container does not join a pid namespace where somebody could look into it while it is part of the node; it joins all others.
func TestJoinWherePeopleTrace(t *testing.T) {
	w := newWorld(t)
	w.run("run", "--detach", "--bundle", w.bundle("plain", "sleep 1000"), "plain")
	w.run("run", "--detach", "--bundle", w.bundle("second", "sleep 1000", w.beside("plain")), "second")
	w.run("run", "--detach", "--bundle", w.bundle("tracer", "sleep 1000", tracing, w.beside("plain")), "tracer")
	for _, verb := range []string{"create", "run"} {
		r := w.try(verb, "--bundle", w.bundle("third", "sleep 1000", w.beside("plain")), "third")
		if r.code != 1 || !strings.Contains(r.err, "may look into those that join it (SYS_PTRACE)") {
			t.Errorf("%s: %+v", verb, r)
		}
		w.refused(1, "container does not exist", "state", "third")
	}
	w.run("delete", "--force", "tracer")
	w.run("create", "--bundle", w.bundle("third", "sleep 1000", w.beside("plain")), "third")
}

// Whoever has the node's files is part of it: a namespace of theirs is joined, whatever they may. In a root of their own they are not.
func TestJoinNodesOwn(t *testing.T) {
	w := newWorld(t)
	for name, root := range map[string]string{"node": "/", "rooted": filepath.Join(w.bundle("root", ""), "rootfs")} {
		sleep := exec.Command("/bin/sleep", "1000")
		sleep.Dir = "/"
		sleep.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
		if root != "/" {
			sleep.SysProcAttr.Chroot = root
		}
		w.must(sleep.Start())
		r := w.try("run", "--bundle", w.bundle(name, "echo joined", func(s *specs.Spec) {
			for i := range s.Linux.Namespaces {
				if s.Linux.Namespaces[i].Type == specs.PIDNamespace {
					s.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/pid", sleep.Process.Pid)
				}
			}
		}), name)
		if joined := strings.TrimSpace(r.out) == "joined"; joined != (root == "/") {
			t.Errorf("%s: %+v", name, r)
		}
		w.must(sleep.Process.Kill())
		_ = sleep.Wait()
	}
}

// harmless is what an attacker may find: its own, and the program of a parked process.
var harmless = []string{
	"EXE /memfd:init (deleted)", "TRACED /memfd:init (deleted)", "STOPPED /memfd:init (deleted)", "STOPPED /bin/busybox", "FD pipe:", "FD /dev/null",
	"FD /memfd:state (deleted)", "FD /memfd:output (deleted)", // of a hook
	"MAP /memfd:init", "MAP /memfd:program", "MAP /bin/busybox", "MAP anonymous", "MAP [stack]", "MAP [heap]", "MAP [vdso]", "MAP [vvar]", "MAP [vvar_vclock]", "MAP [vsyscall]",
}

// Further processes of a container that may not trace show nothing of the node to another one in its pid namespace that may; its hooks neither.
func TestExecBesideTracer(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("skip: needs go, to build what attacks")
	}
	w := newWorld(t)
	said := filepath.Join(w.dir, "said")
	w.must(os.WriteFile(said, nil, 0o600))
	bundle := w.bundle("tracer", "")
	build := exec.Command("go", "build", "-o", filepath.Join(bundle, "rootfs", "attacker"), "../../../pkg/linux/testdata/attacker/main.go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w.run("create", "--bundle", w.bundle("web", "sleep 1000", hooked("exit 0", "startContainer"), func(s *specs.Spec) {
		s.Hooks.StartContainer = slices.Repeat(s.Hooks.StartContainer, 50)
	}), "web")
	w.bundle("tracer", "exec /attacker "+w.binary+" >/said", tracing, w.beside("web"), func(s *specs.Spec) {
		s.Process.Env = append(s.Process.Env, "GOMAXPROCS=1")
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/said", Type: "bind", Source: said, Options: []string{"bind"}})
		s.Root.Readonly = false
	})
	w.run("run", "--detach", "--bundle", bundle, "tracer")
	w.soon("up", func() bool { return strings.HasPrefix(w.read(said), "up") })
	started := w.try("start", "web")
	if started.code != 0 && !strings.Contains(started.err, "it is traced") { // a hook that a tracer holds as it dies tells nobody how
		t.Fatalf("%+v", started)
	}
	for i := 0; i < 100 && started.code == 0; i++ {
		if r := w.try("exec", "web", "/bin/true"); r.code != 0 && !strings.Contains(r.err, "it is traced") {
			t.Fatalf("%+v", r)
		}
	}
	for line := range strings.Lines(w.read(said)) {
		if line = strings.TrimSpace(line); line != "up" && !slices.Contains(harmless, line) && !strings.HasPrefix(line, "FD "+w.dir+"/out") { // its output
			t.Errorf("found %s", line)
		}
	}
}
