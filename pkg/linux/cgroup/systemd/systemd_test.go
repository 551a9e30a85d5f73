package systemd

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

func TestAncestor(t *testing.T) {
	tests := []struct {
		group, want string
		ok          bool
	}{
		{"/system.slice/reconciler.scope", "/system.slice/reconciler.scope", true},
		{"/system.slice/reconciler.scope/keeper", "/system.slice/reconciler.scope", true},
		{"/system.slice/reconciler.service", "", false},
		{"/system.slice/other-reconciler.scope/keeper", "", false},
		{"/", "", false},
	}
	for _, test := range tests {
		got, ok := ancestor(test.group, "reconciler.scope")
		if ok != test.ok || ok && got != test.want {
			t.Errorf("ancestor(%q) = %q, %v; want %q, %v", test.group, got, ok, test.want, test.ok)
		}
	}
}

func TestUnifiedPath(t *testing.T) {
	if got, err := unifiedPath("4:memory:/a\n0::/system.slice/x.service\n"); err != nil || got != "/system.slice/x.service" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := unifiedPath("4:memory:/a\n"); err == nil {
		t.Errorf("got %q from a process without cgroup v2", got)
	}
}

func TestDelegateRefusesOtherNames(t *testing.T) {
	for _, name := range []string{"", "a/b", "a.service", "-", "a b"} {
		if _, err := Delegate(t.Context(), cgroup.Tree{}, name, os.Getpid()); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Whatever the cgroup parent is called: at shutdown both are stopped after the unit that has containers end in images.
func TestOrderedBeforeShutdown(t *testing.T) {
	const want = `["reconciler-shutdown.service"]`
	if got := values(scopeOf(1))["Before"]; got != want {
		t.Errorf("the scope is before %q", got)
	}
	if got := values(serviceOf("mine", "/bin/true", nil))["Before"]; got != want {
		t.Errorf("the keeper's service is before %q", got)
	}
	if _, err := os.Stat("../../../../packaging/systemd/" + shutdownUnit); err != nil {
		t.Error(err)
	}
}

// On a host that systemd runs: the scope, twice; containers below it with every controller; and a second keeper
// that joins the scope which the first one's containers keep.
func TestDelegate(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.Require(t, feature.Systemd)
	tree := kerneltest.Tree(t)
	name := "reconciler-test-" + strconv.Itoa(os.Getpid())
	first := keeper(t)
	parent, err := Delegate(t.Context(), tree, name, first)
	must(t, err)
	again, err := Delegate(t.Context(), tree, name, first)
	must(t, err)
	if parent != "system.slice/"+name+".scope/containers" || again != parent {
		t.Errorf("parents %q, %q", parent, again)
	}
	p, err := cgroup.Open(cgroup.Config{Tree: tree, Parent: parent})
	must(t, err)
	defer p.Close()
	g, err := p.Group("web", 1)
	must(t, err)
	must(t, g.Create())
	all := spec.Resources{
		Memory: spec.Memory{Max: spec.NewLimit(64 << 20)}, CPU: spec.CPU{Weight: 50},
		Pids: spec.Pids{Max: spec.NewLimit(100)}, Cpuset: spec.Cpuset{Cpus: "0"},
	}
	must(t, g.Set(all))

	container := keeper(t)
	must(t, os.WriteFile(filepath.Join(g.Path(), "cgroup.procs"), []byte(strconv.Itoa(container)), 0))
	must(t, unix.Kill(first, unix.SIGKILL)) // ours and not yet waited for: the number is still its own
	second := keeper(t)
	joined, err := Delegate(t.Context(), tree, name, second)
	must(t, err)
	if joined != parent {
		t.Errorf("the second keeper gets %q, the first %q", joined, parent)
	}
	if own, err := cgroupOf(second); err != nil || own != "/system.slice/"+name+".scope/keeper" {
		t.Errorf("the second keeper is in %q, %v", own, err)
	}
	must(t, g.Kill())
	must(t, g.Remove(t.Context()))
}

// keeper starts a process that stands for one, and ends it with the test.
func keeper(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("/bin/busybox", "sleep", "1000")
	must(t, cmd.Start())
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	return cmd.Process.Pid
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
