package attribute_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// all is a node that holds every capability.
var all = capability.Node{Have: capability.UpTo(unix.CAP_LAST_CAP), Last: unix.CAP_LAST_CAP}

// scheduling shows what the shell itself has, without making another process: nice value, real-time priority and policy of /proc/self/stat.
const scheduling = `read -r line < /proc/$$/stat; set -- ${line##*)}; echo nice ${17} priority ${38} policy ${39}`

// What a manifest says about the process is what the process finds.
func TestSaid(t *testing.T) {
	kerneltest.Root(t)
	for _, c := range []struct {
		what   string
		said   spec.ContainerSpec
		script string
		want   string
	}{
		{"nice", spec.ContainerSpec{Scheduler: spec.Scheduler{Nice: 7}}, scheduling, "nice 7 priority 0 policy 0"},
		{"more than others", spec.ContainerSpec{Scheduler: spec.Scheduler{Nice: -7}}, scheduling, "nice -7 priority 0 policy 0"},
		{"batch", spec.ContainerSpec{Scheduler: spec.Scheduler{Policy: spec.SchedulerBatch, Nice: 3}}, scheduling, "nice 3 priority 0 policy 3"},
		{"idle", spec.ContainerSpec{Scheduler: spec.Scheduler{Policy: spec.SchedulerIdle}}, scheduling, "nice 0 priority 0 policy 5"},
		{"first in, first out", spec.ContainerSpec{Scheduler: spec.Scheduler{Policy: spec.SchedulerFIFO, Priority: 4}}, scheduling, "nice 0 priority 4 policy 1"},
		{"round robin", spec.ContainerSpec{Scheduler: spec.Scheduler{Policy: spec.SchedulerRR, Priority: 99, Flags: []string{"RESET_ON_FORK"}}}, scheduling + `; ` +
			`set -- $(cut -d ')' -f 2 /proc/self/stat); echo of a child: ${39}`, "nice 0 priority 99 policy 2\nof a child: 0"},
		{"io priority", spec.ContainerSpec{IOPriority: spec.IOPriority{Class: spec.IOClassBE, Priority: 6}}, `ionice -p $$`, "best-effort: prio 6"},
		{"io priority, real time", spec.ContainerSpec{IOPriority: spec.IOPriority{Class: spec.IOClassRT}}, `ionice -p $$`, "realtime: prio 0"},
		{"io priority, idle", spec.ContainerSpec{IOPriority: spec.IOPriority{Class: spec.IOClassIdle}}, `ionice -p $$`, "idle"},
		{"processors", spec.ContainerSpec{CPUAffinity: spec.CPUAffinity{Initial: "1", Final: "0"}}, `grep Cpus_allowed_list /proc/self/status | cut -f 2`, "0"},
		{"memory", spec.ContainerSpec{MemoryPolicy: spec.MemoryPolicy{Mode: spec.MemoryBind, Nodes: "0", Flags: []string{"STATIC_NODES"}}}, `head -n 1 /proc/$$/numa_maps | cut -d ' ' -f 2`, "bind=static:0"},
		{"memory interleaved", spec.ContainerSpec{MemoryPolicy: spec.MemoryPolicy{Mode: spec.MemoryInterleave, Nodes: "0"}}, `head -n 1 /proc/$$/numa_maps | cut -d ' ' -f 2`, "interleave:0"},
		{"memory preferred", spec.ContainerSpec{MemoryPolicy: spec.MemoryPolicy{Mode: spec.MemoryPreferred, Nodes: "0"}}, `head -n 1 /proc/$$/numa_maps | cut -d ' ' -f 2`, "prefer:0"},
		{"memory local", spec.ContainerSpec{MemoryPolicy: spec.MemoryPolicy{Mode: spec.MemoryLocal}}, `head -n 1 /proc/$$/numa_maps | cut -d ' ' -f 2`, "local"},
		{"a fixed address space", spec.ContainerSpec{Personality: spec.Personality{Flags: []string{"ADDR_NO_RANDOMIZE"}}}, `cat /proc/$$/personality`, "00040000"},
		{"32 bits", spec.ContainerSpec{Personality: spec.Personality{Domain: spec.PersonalityLinux32, Flags: []string{"UNAME26"}}}, `cat /proc/$$/personality; uname -r | cut -d . -f 1,2`, "00020008\n2.6"},
		{"no memory score of its own", spec.ContainerSpec{Base: spec.BaseNone, OOMScoreAdj: spec.NewOOMScore(33)}, `cat /proc/$$/oom_score_adj`, "33"},
	} {
		t.Run(c.what, func(t *testing.T) {
			plan := newPlan(t, c.script)
			if err := plan.Say(c.said, all); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(start(t, plan)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A deadline is kept for a process that has every processor of its root domain, which a test cannot know of the machine: it
// is granted, or the kernel's own word says why not.
func TestDeadline(t *testing.T) {
	kerneltest.Root(t)
	plan := newPlan(t, scheduling)
	said := spec.ContainerSpec{Scheduler: spec.Scheduler{Policy: spec.SchedulerDeadline, Runtime: 5e6, Deadline: 50e6, Period: 100e6, Flags: []string{"RESET_ON_FORK"}}}
	if err := plan.Say(said, all); err != nil {
		t.Fatal(err)
	}
	p := program(plan)
	out, err := run(t, p)
	switch {
	case err == nil && !strings.HasSuffix(out, "policy 6\n"):
		t.Errorf("got %q", out)
	case err != nil && (!errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "cannot set scheduler DEADLINE, 5000000 of 50000000 ns")):
		t.Errorf("got %v", err)
	}
}

// What the node lacks is said before anything is made; what no kernel takes is the manifest's fault.
func TestSayRefuses(t *testing.T) {
	poor := capability.Node{Last: unix.CAP_LAST_CAP}
	for _, c := range []struct {
		what string
		said spec.ContainerSpec
		want error
	}{
		{"real time without SYS_NICE", spec.ContainerSpec{Scheduler: spec.Scheduler{Policy: spec.SchedulerFIFO, Priority: 1}}, errors.ErrUnsupported},
		{"nice without SYS_NICE", spec.ContainerSpec{Scheduler: spec.Scheduler{Nice: -1}}, errors.ErrUnsupported},
		{"io real time without SYS_NICE", spec.ContainerSpec{IOPriority: spec.IOPriority{Class: spec.IOClassRT}}, errors.ErrUnsupported},
		{"no priority", spec.ContainerSpec{Scheduler: spec.Scheduler{Policy: spec.SchedulerRR}}, fs.ErrInvalid},
		{"unknown policy", spec.ContainerSpec{Scheduler: spec.Scheduler{Policy: "SCHED_OTHER"}}, fs.ErrInvalid},
		{"unknown flag", spec.ContainerSpec{Scheduler: spec.Scheduler{Flags: []string{"x"}}}, fs.ErrInvalid},
		{"unknown class", spec.ContainerSpec{IOPriority: spec.IOPriority{Class: "NONE"}}, fs.ErrInvalid},
		{"large io priority", spec.ContainerSpec{IOPriority: spec.IOPriority{Class: spec.IOClassBE, Priority: 8}}, fs.ErrInvalid},
		{"no processors", spec.ContainerSpec{CPUAffinity: spec.CPUAffinity{Final: ","}}, fs.ErrInvalid},
		{"far processors", spec.ContainerSpec{CPUAffinity: spec.CPUAffinity{Final: "8192"}}, fs.ErrInvalid},
		{"unknown memory mode", spec.ContainerSpec{MemoryPolicy: spec.MemoryPolicy{Mode: "x"}}, fs.ErrInvalid},
		{"unknown domain", spec.ContainerSpec{Personality: spec.Personality{Domain: "BSD"}}, fs.ErrInvalid},
		{"the node's users", spec.ContainerSpec{Sysctls: map[string]string{"user.max_user_namespaces": "0"}}, fs.ErrInvalid},
		{"another file of proc", spec.ContainerSpec{
			Namespaces: spec.Namespaces{User: spec.UserNamespace{Mode: spec.UserAuto}}, Sysctls: map[string]string{"user.../kernel": "0"},
		}, fs.ErrInvalid},
	} {
		if err := new(attribute.Plan).Say(c.said, poor); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v", c.what, err)
		}
	}
	for what, probe := range map[string]struct {
		feature *feature.Feature
		said    spec.Security
	}{
		"apparmor": {feature.AppArmor, spec.Security{AppArmor: "unconfined"}},
		"selinux":  {feature.SELinux, spec.Security{SELinux: spec.SELinux{Label: "a:b:c"}}},
	} {
		err := new(attribute.Plan).Say(spec.ContainerSpec{Security: probe.said}, all)
		if lacking := probe.feature.Probe() != nil; lacking != errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: lacking is %v, got %v", what, lacking, err)
		}
	}
}

func TestMask(t *testing.T) {
	for list, want := range map[string][]uint64{"": nil, "0": {1}, "0-3,8": {0x10f}, "63-64": {1 << 63, 1}, "130": {0, 0, 4}} {
		mask, err := attribute.NewMask(list)
		got := make([]uint64, len(mask)/8)
		if _, decoded := binary.Decode(mask, binary.NativeEndian, got); err != nil || decoded != nil && len(mask) > 0 || len(got) != len(want) {
			t.Errorf("%s: got %x, %v, want %x", list, got, err, want)
			continue
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: got %x, want %x", list, got, want)
			}
		}
	}
}

// Five sets that are said are the five sets there, for root and others. The superuser's command gets all that is bounding and
// inheritable from the kernel at execve, but under no_new_privs no more than was permitted.
func TestExplicitCapabilities(t *testing.T) {
	kerneltest.Root(t)
	const script = `grep -E '^Cap' /proc/self/status | tr -d '\n\t'`
	const none, chown, kill, both = "0000000000000000", "0000000000000001", "0000000000000020", "0000000000000021"
	names := func(names ...string) []string { return names }
	for _, c := range []struct {
		what                    string
		uid                     uint32
		said                    spec.Capabilities
		inh, prm, eff, bnd, amb string
	}{
		{"root, a narrower bounding set", 0, spec.Capabilities{Bounding: names("KILL"), Permitted: names("KILL", "CHOWN"), Effective: names("CHOWN")}, none, kill, kill, kill, none},
		{"root, a wider bounding set", 0, spec.Capabilities{Bounding: names("KILL", "CHOWN"), Permitted: names("KILL")}, none, kill, kill, both, none},
		{"user without ambient", 1000, spec.Capabilities{Bounding: names("KILL"), Permitted: names("KILL"), Effective: names("KILL")}, none, none, none, kill, none},
		{"user, inheritable", 1000, spec.Capabilities{Bounding: names("KILL", "CHOWN"), Permitted: names("KILL"), Inheritable: names("KILL", "CHOWN")}, both, none, none, both, none},
		{"user, ambient", 1000, spec.Capabilities{
			Bounding: names("CHOWN"), Permitted: names("CHOWN"), Inheritable: names("CHOWN"), Ambient: names("CHOWN"),
		}, chown, chown, chown, chown, chown},
	} {
		t.Run(c.what, func(t *testing.T) {
			plan := newPlan(t, script)
			var err error
			plan.UID, plan.GID = c.uid, c.uid
			if plan.Capabilities, err = capability.NewSets(c.said, c.uid, all); err != nil {
				t.Fatal(err)
			}
			want := "CapInh:" + c.inh + "CapPrm:" + c.prm + "CapEff:" + c.eff + "CapBnd:" + c.bnd + "CapAmb:" + c.amb
			if got := start(t, plan); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
