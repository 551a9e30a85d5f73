package keeper_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// memoryLimit is what the container of this test may use.
const memoryLimit = "16777216"

// limitMemory bounds the memory of an instance, on whichever hierarchy has the controller.
func (n *node) limitMemory(r *keeper.StartRequest) {
	n.t.Helper()
	controllers, err := os.ReadFile(filepath.Join(n.cgroup, "cgroup.controllers"))
	if err == nil && strings.Contains(string(controllers), "memory") {
		for _, dir := range []string{n.cgroup, filepath.Dir(r.Cgroup)} {
			n.write(filepath.Join(dir, "cgroup.subtree_control"), "+memory")
		}
		n.write(filepath.Join(r.Cgroup, "memory.max"), memoryLimit)
		r.OOM = filepath.Join(r.Cgroup, "memory.events")
		return
	}
	const v1 = "/sys/fs/cgroup/memory"
	if _, err := os.Stat(v1 + "/memory.limit_in_bytes"); err != nil {
		n.t.Skip("needs a memory controller")
	}
	parent := filepath.Join(v1, fmt.Sprintf("reconciler-test-keeper-%d", os.Getpid()))
	group := filepath.Join(parent, r.Name, "1")
	if err := os.MkdirAll(group, 0o755); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		n.eventually("removal of "+parent, func() bool { removeBelow(parent); return os.Remove(parent) == nil })
	})
	n.write(filepath.Join(group, "memory.limit_in_bytes"), memoryLimit)
	r.OOM = filepath.Join(group, "memory.oom_control")
	tasks, err := os.OpenFile(filepath.Join(group, "tasks"), os.O_WRONLY, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { tasks.Close() })
	r.Files["tasks"] = tasks
	join := process.Program{Files: r.Program.Files}
	join.Call("join", group, unix.SYS_WRITE, r.Program.File("tasks"), process.Data([]byte("0")), process.Int(1))
	r.Program.Ops = append(join.Ops, r.Program.Ops...)
}

func (n *node) write(path, text string) {
	n.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0); err != nil {
		n.t.Fatal(err)
	}
}

func TestOOMKilled(t *testing.T) {
	n := newNode(t)
	r := n.request("greedy", 1, "x=a; while :; do x=$x$x$x$x; done")
	n.limitMemory(&r)
	s, err := n.client.Start(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if e := n.exit(r, s); e.Reason != spec.ExitOOMKilled || !e.OOMKilled || e.Signal != "SIGKILL" || e.Code != 137 {
		t.Errorf("exit = %+v", e)
	}

	// The count of earlier kills is no sign of a later one.
	again := n.request("greedy", 1, "exit 9")
	again.OOM = r.OOM
	if s, err = n.client.Start(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if e := n.exit(again, s); e.Reason != spec.ExitError || e.OOMKilled || e.Code != 9 {
		t.Errorf("exit = %+v", e)
	}
}
