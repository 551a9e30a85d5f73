package linux_test

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

// bpf is bpf(2) with attributes of 32 bits each.
func bpf(t testing.TB, command uintptr, attr *[64]uint32) int {
	t.Helper()
	r, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(unsafe.Pointer(attr)), 128)
	if errno != 0 {
		t.Fatalf("bpf %d: %v", command, errno)
	}
	return int(r)
}

// detachPrograms takes away every device program of a cgroup, as bpftool(8) would.
func detachPrograms(t testing.TB, dir string) {
	t.Helper()
	group, err := os.Open(dir)
	must(t, err)
	defer group.Close()
	var ids [8]uint32
	at := uint64(uintptr(unsafe.Pointer(&ids)))
	query := &[64]uint32{uint32(group.Fd()), unix.BPF_CGROUP_DEVICE, 0, 0, uint32(at), uint32(at >> 32), uint32(len(ids))}
	bpf(t, unix.BPF_PROG_QUERY, query)
	if query[6] == 0 {
		t.Fatal("no program is attached")
	}
	for _, id := range ids[:query[6]] {
		program := bpf(t, unix.BPF_PROG_GET_FD_BY_ID, &[64]uint32{id})
		bpf(t, unix.BPF_PROG_DETACH, &[64]uint32{uint32(group.Fd()), uint32(program), unix.BPF_CGROUP_DEVICE})
		must(t, unix.Close(program))
	}
}

// What decides on devices comes back when somebody has taken it away.
func TestDriftOfDevices(t *testing.T) {
	kerneltest.Require(t, feature.DevicePrograms)
	n := open(t)
	n.run(t, n.container("web", forever), 1)
	pid := n.look(t, "web", 1).Pid
	detachPrograms(t, n.group(t, "web", 1))
	got := n.drifts(t, "web")
	if len(got) != 1 || got[0].Field != "devices" || got[0].Found != "" || !got[0].Repairable {
		t.Fatalf("found %+v", got)
	}
	must(t, n.Repair(t.Context(), "web", 1, "devices"))
	if got := n.drifts(t, "web"); len(got) > 0 || n.look(t, "web", 1).Pid != pid {
		t.Errorf("after the repair: %+v", got)
	}
}
