package linux_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// unified is the cgroup of a process in the unified hierarchy, from /.
func unified(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	must(t, err)
	_, path, _ := strings.Cut("\n"+string(text), "\n0::")
	return strings.TrimSpace(path)
}

// A parent with a leading slash is exactly there, whoever owns the cgroups of the machine, and with what the machine has. Under systemd the
// keeper has a scope all the same, so that it does not end with the agent's service.
func TestAParentOfTheOperators(t *testing.T) {
	parent := kerneltest.Parent(t)
	n := openBelow(t, "/"+parent)
	c := n.container("web", forever)
	c.Spec.Resources.Pids.Max = spec.NewLimit(50)
	n.run(t, c, 1)
	in := n.look(t, "web", 1)
	if got, want := unified(t, in.Pid), "/"+parent+"/web/1"; got != want {
		t.Errorf("the container is in %s, want %s", got, want)
	}
	if got, scope := unified(t, n.keeper(t)), "/system.slice/"+parent+".scope/keeper"; (got == scope) != (feature.Systemd.Probe() == nil) {
		t.Errorf("the keeper is in %s", got)
	}
	if !in.Resources.Equal(in.Wanted) || in.Wanted.Pids.Max != spec.NewLimit(50) {
		t.Errorf("limits %+v, wanted %+v", in.Resources, in.Wanted)
	}
	n.reopen(t)
	if again := n.look(t, "web", 1); again.Pid != in.Pid || again.Phase != spec.InstanceRunning {
		t.Errorf("after the agent's restart: %+v", again)
	}
}

// What systemd does not hand down to its units is refused by name in its scope, and no container is left of the attempt; outside of it
// the limit is kept.
func TestControllersThatSystemdKeeps(t *testing.T) {
	kerneltest.Require(t, feature.Systemd)
	huge := spec.Resources{Hugetlb: spec.Hugetlb{Max: map[string]spec.Limit{"2MB": spec.NewLimit(4 * mebi)}}}
	for _, said := range []spec.Resources{
		huge,
		{RDMA: spec.RDMA{Max: map[string]spec.RDMAMax{"mlx4_0": {HCAHandle: spec.NewLimit(2)}}}},
		{Misc: spec.Misc{Max: map[string]spec.Limit{"sev": spec.NewLimit(2)}}},
	} {
		n := open(t)
		c := n.container("web", forever)
		c.Spec.Resources = said
		err := n.Create(t.Context(), c, 1, spec.DefaultsVersion)
		lacking, ok := errors.AsType[*cgroup.ControllerError](err)
		if !ok || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "systemd does not hand it down") || !strings.HasSuffix(err.Error(), "--cgroup-parent /reconciler") {
			t.Errorf("%+v: %v", said, err)
			continue
		}
		if probe, _ := feature.Lookup("cgroup-" + lacking.Controller); probe == nil || !errors.Is(probe.Probe(), errors.ErrUnsupported) {
			t.Errorf("nothing says beforehand that there is no %s", lacking.Controller)
		}
		if left := n.look(t, "web", 1); left.Phase != "" {
			t.Errorf("left: %+v", left)
		}
	}
	n := openBelow(t, "/"+kerneltest.Parent(t))
	c := n.container("web", forever)
	c.Spec.Resources = huge
	n.run(t, c, 1)
	if in := n.look(t, "web", 1); !in.Resources.Equal(huge) {
		t.Errorf("outside of systemd's units: %+v", in.Resources)
	}
}
