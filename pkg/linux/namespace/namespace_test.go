package namespace_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestAppend(t *testing.T) {
	for _, tt := range []struct {
		name  string
		plan  namespace.Plan
		clone uint64
		steps []string
		files []string
	}{
		{
			"cgroup v2",
			namespace.NewPlan(spec.ContainerSpec{Hostname: "web"}),
			unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP,
			[]string{"join namespace net", "join namespace ipc", "join namespace uts", "set hostname web", "set domainname (none)"},
			[]string{"net", "ipc", "uts"},
		},
		{
			"cgroup v1",
			namespace.Plan{Moves: true, Net: namespace.Joined, IPC: namespace.Joined, UTS: namespace.Joined},
			unix.CLONE_NEWPID | unix.CLONE_NEWNS,
			[]string{"join namespace net", "join namespace ipc", "join namespace uts", "make cgroup namespace "},
			[]string{"net", "ipc", "uts"},
		},
		{
			"the node's network",
			namespace.NewPlan(spec.ContainerSpec{Hostname: "web", Network: spec.Network{Mode: spec.NetworkHost}}),
			unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP,
			[]string{"join namespace ipc", "join namespace uts", "set hostname web", "set domainname (none)"},
			[]string{"ipc", "uts"},
		},
		{
			"the node's names and processes",
			namespace.NewPlan(spec.ContainerSpec{Hostname: "web", Namespaces: spec.Namespaces{PID: "Host", IPC: "Private", UTS: "Host", Cgroup: "Host"}}),
			unix.CLONE_NEWNS,
			[]string{"join namespace net", "join namespace ipc"},
			[]string{"net", "ipc"},
		},
		{
			"another's processes",
			namespace.NewPlan(spec.ContainerSpec{Namespaces: spec.Namespaces{PID: "container:web"}, Network: spec.Network{Mode: spec.NetworkHost}}),
			unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP,
			[]string{"park ", "join namespace ipc", "join namespace uts", "set domainname (none)"},
			[]string{"pid", "ipc", "uts"},
		},
		{
			"what is said and nothing else",
			namespace.NewPlan(spec.ContainerSpec{Base: spec.BaseNone, Hostname: "web"}),
			unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP,
			[]string{"join namespace net", "join namespace ipc", "join namespace uts", "set hostname web"},
			[]string{"net", "ipc", "uts"},
		},
		{
			"clocks and a domain",
			namespace.Plan{
				UTS: namespace.Joined, Net: namespace.Node, IPC: namespace.Node, PID: namespace.Node, Cgroup: namespace.Node, Domainname: "example",
				Clocks: namespace.Clocks{Private: true, Monotonic: -time.Millisecond},
			},
			unix.CLONE_NEWNS,
			[]string{"join namespace uts", "set domainname example", "make time namespace ", "set clocks self/timens_offsets", "set clocks monotonic -1ms, boottime 0s"},
			[]string{"uts", "proc"},
		},
		{
			"everything new, without a sandbox",
			namespace.Plan{},
			unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
			nil, nil,
		},
	} {
		var p process.Program
		namespace.Append(&p, tt.plan)
		if joins := p.PidNS != ""; joins != (tt.plan.PID == namespace.Joined) {
			t.Errorf("%s: begins in pid namespace %q", tt.name, p.PidNS)
		}
		var steps []string
		for _, op := range p.Ops {
			steps = append(steps, op.Step+" "+op.Path)
		}
		if p.Clone != tt.clone || !slices.Equal(steps, tt.steps) || !slices.Equal(p.Files, tt.files) {
			t.Errorf("%s: clone %#x, %q, files %q", tt.name, p.Clone, steps, p.Files)
		}
	}
}

func TestIdentity(t *testing.T) {
	f, err := os.Open("/proc/self/ns/uts")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, err := namespace.Of(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := namespace.OfProcess(os.Getpid(), "uts")
	if err != nil || a != b || a == (namespace.ID{}) {
		t.Errorf("%v and %v, %v", a, b, err)
	}
	if _, err := namespace.OfProcess(1<<30, "uts"); err == nil {
		t.Error("a process that does not exist has a namespace")
	}
}
