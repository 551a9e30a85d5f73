package spec_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Every word about what a process inherits arrives.
func TestDecodeAttributes(t *testing.T) {
	got := decodeOne(t, readFile(t, "attributes.yaml")).Spec
	want := spec.ContainerSpec{
		Rootfs: spec.Rootfs{Path: "/srv/web"}, Command: []string{"/bin/web"}, Domainname: "example",
		Namespaces: spec.Namespaces{Time: spec.TimeNamespace{Monotonic: spec.Offset(10 * time.Hour), Boottime: spec.Offset(-90 * time.Second)}},
		Security: spec.Security{
			Capabilities: spec.Capabilities{
				Bounding: []string{"ALL"}, Effective: []string{"KILL"}, Permitted: []string{"KILL", "CHOWN"}, Inheritable: []string{"CHOWN"}, Ambient: []string{"CHOWN"},
			},
			AppArmor: "docker-default",
			SELinux:  spec.SELinux{Label: "system_u:system_r:container_t:s0:c1,c2", MountLabel: "system_u:object_r:container_file_t:s0:c1,c2"},
			Landlock: spec.Landlock{
				ReadOnly: []string{"/etc"}, Execute: []string{"/bin", "/usr"}, ReadWrite: []string{"/tmp"},
				TCPBind: &[]uint32{80, 443}, TCPConnect: &[]uint32{}, Scope: []string{"SIGNAL"}, BestEffort: true,
			},
			Keyring: spec.KeyringInherit,
		},
		OOMScoreAdj: spec.NewOOMScore(0),
		Scheduler: spec.Scheduler{
			Policy: spec.SchedulerDeadline, Flags: []string{"RESET_ON_FORK", "RECLAIM"}, UtilMin: 1, UtilMax: 1024,
			Runtime: spec.Duration(10 * time.Millisecond), Deadline: spec.Duration(50 * time.Millisecond), Period: spec.Duration(100 * time.Millisecond),
		},
		IOPriority:   spec.IOPriority{Class: spec.IOClassRT, Priority: 3},
		CPUAffinity:  spec.CPUAffinity{Initial: "0", Final: "0-1,3"},
		MemoryPolicy: spec.MemoryPolicy{Mode: spec.MemoryBind, Nodes: "0", Flags: []string{"STATIC_NODES"}},
		Personality:  spec.Personality{Domain: spec.PersonalityLinux32, Flags: []string{"ADDR_NO_RANDOMIZE"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// With base None, 0 is another wish than none; otherwise it is the default.
func TestOOMScore(t *testing.T) {
	var unsaid spec.Container
	zero := unsaid
	zero.Spec.OOMScoreAdj = spec.NewOOMScore(0)
	if spec.Identity(unsaid, 1) != spec.Identity(zero, 1) {
		t.Error("a said default is another identity")
	}
	unsaid.Spec.Base, zero.Spec.Base = spec.BaseNone, spec.BaseNone
	if spec.Identity(unsaid, 1) == spec.Identity(zero, 1) {
		t.Error("with base None, what is said is not heard")
	}
	if got := spec.Defaulted(zero, 1).Spec.OOMScoreAdj; got != zero.Spec.OOMScoreAdj {
		t.Errorf("got %v", got)
	}
}
