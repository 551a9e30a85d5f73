package oci

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
)

// A process that has left the cgroup, or whose number somebody else has by now, is not signalled, wherever that one is.
func TestSignalStaysInTheGroup(t *testing.T) {
	tree, parent := kerneltest.Tree(t), kerneltest.Parent(t)
	sleepIn := func(name string) *exec.Cmd {
		dir := filepath.Join(tree.Unified, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/bin/sleep", "100000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	name := parent + "/a"
	mine, below := sleepIn(name), sleepIn(name+"/b")
	others := []*exec.Cmd{sleepIn(name + "b"), sleepIn(parent + "/x/" + name), sleepIn(parent + "/x/" + name + "/b")}
	group, err := cgroup.At(tree, name)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	listed := []int{mine.Process.Pid, below.Process.Pid}
	for _, other := range others {
		listed = append(listed, other.Process.Pid)
	}
	if err := signalIn(group, listed, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []*exec.Cmd{mine, below} {
		if _ = cmd.Wait(); cmd.ProcessState.Success() || cmd.ProcessState.Exited() {
			t.Errorf("one inside: %v", cmd.ProcessState)
		}
	}
	for i, other := range others {
		var status unix.WaitStatus
		if pid, err := unix.Wait4(other.Process.Pid, &status, unix.WNOHANG, nil); pid != 0 || err != nil {
			t.Errorf("stranger %d has ended: %v, %v", i, status, err)
		}
	}
}
