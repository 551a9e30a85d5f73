package linux_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// build builds a static program of testdata, unless that was done elsewhere.
func build(t *testing.T, name string) string {
	t.Helper()
	if built := os.Getenv("RECONCILER_BUILT"); built != "" {
		return filepath.Join(built, name)
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("skip: needs go, to build what attacks")
	}
	path := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-o", path, "testdata/"+name+"/main.go")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}
	return path
}

// harmless is what an attacker may find: the container's own, and the program of a parked process.
var harmless = []string{
	"EXE /memfd:init (deleted)", "TRACED /memfd:init (deleted)", "STOPPED /memfd:init (deleted)", "STOPPED /bin/busybox",
	"FD pipe:", "FD /dev/null",
	"MAP /memfd:init", "MAP /memfd:program", "MAP /bin/busybox", "MAP anonymous", "MAP [stack]", "MAP [heap]", "MAP [vdso]", "MAP [vvar]", "MAP [vvar_vclock]", "MAP [vsyscall]",
}

// lookInto runs commands in a container whose process 1 is an attacker with capabilities, and returns what it has found.
func lookInto(t *testing.T, n *node, name string, capabilities []string, rounds int, run func(ctx context.Context, name string, id uint64, e spec.Exec) (spec.Session, error)) (found []string) {
	t.Helper()
	c := n.container(name, "")
	c.Spec.Command = []string{"/attacker", n.path("run")} // which is on the keeper's command line
	c.Spec.Env = map[string]string{"GOMAXPROCS": "1"}
	c.Spec.Security.Capabilities.Add = capabilities
	c.Spec.Mounts = []spec.Mount{{Type: "bind", Source: build(t, "attacker"), Destination: "/attacker"}}
	n.run(t, c, 1)
	n.hear(t, name, "up")
	for range rounds {
		s, err := run(t.Context(), name, 1, spec.Exec{Command: []string{"/bin/true"}})
		must(t, err)
		_, err = io.ReadAll(s.Stdout())
		must(t, err)
		if exit, err := s.Wait(t.Context()); err != nil || exit.Code != 0 {
			t.Fatalf("%+v, %v", exit, err)
		}
		must(t, s.Close())
	}
	found = findings(n.output(t, name))
	must(t, n.Destroy(t.Context(), name, 1, false))
	return found
}

// findings are what an attacker has said, without that it is up.
func findings(said string) []string {
	found := strings.Split(strings.TrimSpace(said), "\n")[1:]
	slices.Sort(found)
	return found
}

// A container that may trace finds nothing of the node's in the processes that join it, at no moment; without the confinement it does.
func TestExecTraced(t *testing.T) {
	n := open(t)
	must(t, os.WriteFile(n.path("rootfs", "attacker"), nil, 0o755))
	for name, capabilities := range map[string][]string{"tracer": {"SYS_PTRACE"}, "omnipotent": {"ALL"}} {
		found := lookInto(t, n, name, capabilities, 300, n.Exec)
		t.Logf("%s: %q", name, found)
		for _, line := range found {
			if !slices.Contains(harmless, line) {
				t.Errorf("%s found %s", name, line)
			}
		}
	}
	// The control has to win a race, which is harder for a slow machine.
	wanted := []string{"TRACED ", "MEMORY ", "FD /"}
	for tries := 0; len(wanted) > 0 && tries < 5; tries++ {
		found := lookInto(t, n, "control", []string{"SYS_PTRACE"}, 100, n.ExecPlain)
		t.Logf("control: %d findings", len(found))
		all := strings.Join(found, "\n")
		wanted = slices.DeleteFunc(wanted, func(want string) bool { return strings.Contains(all, want) })
	}
	if len(wanted) > 0 {
		t.Errorf("without confinement, too, nothing like %q is found", wanted)
	}
}

// What an exec is given counts for those after it: one that may trace finds nothing in the next ones, in a container that may not itself.
func TestExecBesideTracer(t *testing.T) {
	n := open(t)
	c := n.container("web", forever)
	c.Spec.Mounts = []spec.Mount{{Type: "bind", Source: build(t, "attacker"), Destination: "/attacker"}}
	must(t, os.WriteFile(n.path("rootfs", "attacker"), nil, 0o755))
	n.run(t, c, 1)
	s, err := n.Exec(t.Context(), "web", 1, spec.Exec{
		Command: []string{"/attacker", n.path("run")}, Env: map[string]string{"GOMAXPROCS": "1"}, Capabilities: spec.Capabilities{Add: []string{"SYS_PTRACE"}},
	})
	must(t, err)
	defer s.Close()
	up := make([]byte, 3)
	_, err = io.ReadFull(s.Stdout(), up)
	must(t, err)
	for range 100 {
		if _, exit := n.inside(t, "web", spec.Exec{Command: []string{"/bin/true"}}, ""); exit.Code != 0 {
			t.Fatalf("%+v", exit)
		}
	}
	must(t, s.Signal(t.Context(), "SIGKILL"))
	said, err := io.ReadAll(s.Stdout())
	must(t, err)
	for _, line := range findings(string(up) + string(said)) {
		if !slices.Contains(harmless, line) {
			t.Errorf("found %s", line)
		}
	}
}

// A pid namespace is joined where nobody could look into the newcomer, by name and by path; execs into either container are confined then.
func TestJoinPID(t *testing.T) {
	n := open(t)
	n.run(t, n.container("web", "exec sleep 1000000"), 1)
	n.run(t, n.with(spec.Capabilities{Add: []string{"SYS_PTRACE"}}, "tracer", "sleep 1000"), 1)
	pid := func(name string) string {
		return fmt.Sprintf("/proc/%d/ns/pid", n.look(t, name, 1).Pid)
	}
	for name, word := range map[string]string{"by-name": "container:web", "by-path": pid("web")} {
		c := n.container(name, `cat /proc/1/cmdline; [ $$ != 1 ] && echo; exec sleep 1000`)
		c.Spec.Namespaces.PID = word
		n.run(t, c, 1)
		n.hear(t, name, "1000000")
		for _, into := range []string{name, "web"} {
			if got, exit := n.inside(t, into, command(`readlink /proc/self/ns/pid`), ""); got != readlink(t, pid("web"))+"\n" || exit.Code != 0 {
				t.Errorf("in %s: %q, %+v", into, got, exit)
			}
			if _, err := os.Stat(n.file(into, 1, "exposed")); into == "web" && err != nil {
				t.Errorf("%s is not known to be joined: %v", into, err)
			}
		}
	}
	for _, word := range []string{"container:tracer", pid("tracer")} {
		c := n.container("refused", "sleep 1000")
		c.Spec.Namespaces.PID = word
		must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
		err := n.Start(t.Context(), "refused", 1)
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "may look into those that join it (SYS_PTRACE)") || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("%s: %v", word, err)
		}
		must(t, n.Destroy(t.Context(), "refused", 1, false))
	}
}

func readlink(t *testing.T, path string) string {
	t.Helper()
	target, err := os.Readlink(path)
	must(t, err)
	return target
}

// An exec can make more children of its parent, the keeper. They are reaped like all others: a dead one that is not would keep process 1, which
// waits for everybody in its pid namespace, from ending.
func TestExecSiblings(t *testing.T) {
	n := open(t)
	c := n.container("web", forever)
	c.Spec.Mounts = []spec.Mount{{Type: "bind", Source: build(t, "sibling"), Destination: "/attacker"}}
	must(t, os.WriteFile(n.path("rootfs", "attacker"), nil, 0o755))
	n.run(t, c, 1)
	got, exit := n.inside(t, "web", spec.Exec{Command: []string{"/attacker"}}, "")
	if got != "3\n" || exit.Code != 0 {
		t.Fatalf("%q, %+v", got, exit)
	}
	must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
	n.await(t, "web", 1, exited)
}
