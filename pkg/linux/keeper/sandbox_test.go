package keeper_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// sandboxed is the start of a script in a UTS namespace of its own, to be kept for key in the given shape.
func (n *node) sandboxed(key, shape string, instance uint64) (keeper.StartRequest, namespace.ID) {
	n.t.Helper()
	r := n.request(key, instance, "exec sleep 1000")
	uts := newUTS(n.t)
	r.Files["uts"] = uts
	join := process.Op{Step: "join", Nr: unix.SYS_SETNS, Args: [6]process.Arg{r.Program.File("uts"), process.Int(unix.CLONE_NEWUTS)}}
	r.Program.Ops = append([]process.Op{join}, r.Program.Ops...)
	r.Sandbox = keeper.Sandbox{Key: key, Shape: shape, Kinds: []string{"uts"}}
	id, err := namespace.Of(uts)
	if err != nil {
		n.t.Fatal(err)
	}
	return r, id
}

// newUTS makes a namespace that nothing but its descriptor keeps.
func newUTS(t testing.TB) *os.File {
	t.Helper()
	p := &process.Program{Clone: unix.CLONE_NEWUTS}
	p.Call("execute", busybox, unix.SYS_EXECVE, process.Str(busybox), process.Strs([]string{"sleep", "1000"}), process.Strs(nil))
	child, err := process.Start(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer child.Pidfd.Close()
	uts, err := os.Open(fmt.Sprintf("/proc/%d/ns/uts", child.Pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { uts.Close() })
	if err := process.Signal(child.Pidfd, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := process.Reap(child.Pidfd); err != nil {
		t.Fatal(err)
	}
	return uts
}

// kept is the identity of the UTS namespace that the keeper keeps for a key; zero if there is none.
func (n *node) kept(key string) (namespace.ID, string) {
	n.t.Helper()
	sandbox, files, err := n.client.Sandbox(n.t.Context(), key)
	if err != nil {
		n.t.Fatal(err)
	}
	if files["uts"] == nil {
		return namespace.ID{}, sandbox.Shape
	}
	defer files["uts"].Close()
	id, err := namespace.Of(files["uts"])
	if err != nil {
		n.t.Fatal(err)
	}
	return id, sandbox.Shape
}

// A sandbox is kept from the first start on, over exits and keepers, until another shape takes its place or it is forgotten.
func TestSandbox(t *testing.T) {
	n := newNode(t)
	if id, _ := n.kept("web"); id != (namespace.ID{}) {
		t.Errorf("kept before the first start: %v", id)
	}
	r, first := n.sandboxed("web", "a", 1)
	if _, err := n.client.Start(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if id, shape := n.kept("web"); id != first || shape != "a" {
		t.Errorf("kept %v of shape %q, want %v", id, shape, first)
	}
	n.killKeeper()
	if id, _ := n.kept("web"); id != first {
		t.Errorf("the next keeper has %v, want %v", id, first)
	}
	same, _ := n.sandboxed("web", "a", 2)
	if _, err := n.client.Start(t.Context(), same); err != nil {
		t.Fatal(err)
	}
	if id, _ := n.kept("web"); id != first {
		t.Errorf("a sandbox of the same shape took the place of %v: %v", first, id)
	}
	other, second := n.sandboxed("web", "b", 3)
	if _, err := n.client.Start(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if id, shape := n.kept("web"); id != second || shape != "b" {
		t.Errorf("kept %v of shape %q, want %v", id, shape, second)
	}
	for _, request := range []keeper.StartRequest{r, same, other} {
		if err := n.client.Release(t.Context(), request.Key); err != nil {
			t.Error(err)
		}
	}
	if id, _ := n.kept("web"); id != second {
		t.Errorf("the sandbox went with its last process: %v", id)
	}
	if err := n.client.Keep(t.Context(), r.Sandbox, r.Files); err != nil {
		t.Fatal(err)
	}
	if id, shape := n.kept("web"); id != first || shape != "a" {
		t.Errorf("kept %v of shape %q without a start, want %v", id, shape, first)
	}
	if err := n.client.Forget(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	if id, _ := n.kept("web"); id != (namespace.ID{}) {
		t.Errorf("kept after Forget: %v", id)
	}
	if err := n.client.Keep(t.Context(), r.Sandbox, r.Files); err != nil {
		t.Fatal(err)
	}
	if err := n.client.Release(t.Context(), r.Key, "web", "unknown"); err != nil {
		t.Fatal(err)
	}
	if id, _ := n.kept("web"); id != (namespace.ID{}) {
		t.Errorf("kept after a release with it: %v", id)
	}
}

// A start that fails keeps nothing, and a sandbox that cannot be is refused.
func TestSandboxRefused(t *testing.T) {
	n := newNode(t)
	r, _ := n.sandboxed("web", "a", 1)
	r.Program.Call("execute", "/nowhere", unix.SYS_EXECVE, process.Str("/nowhere"), process.Strs(nil), process.Strs(nil))
	r.Program.Ops[len(r.Program.Ops)-2] = r.Program.Ops[len(r.Program.Ops)-1]
	if _, err := n.client.Start(t.Context(), r); err == nil {
		t.Error("started")
	}
	if id, _ := n.kept("web"); id != (namespace.ID{}) {
		t.Errorf("kept %v of a failed start", id)
	}
	for _, bad := range []keeper.Sandbox{
		{Key: "../web", Kinds: []string{"uts"}},
		{Key: "web", Kinds: []string{"mnt"}},
		{Key: "web", Kinds: []string{"uts", "uts"}},
		{Kinds: []string{"uts"}},
		{Key: "web", Kinds: []string{"net"}}, // no such file comes along
	} {
		r, _ := n.sandboxed("bad", "a", 1)
		r.Sandbox = bad
		if _, err := n.client.Start(t.Context(), r); err == nil {
			t.Errorf("%+v was taken", bad)
		}
		if err := n.client.Keep(t.Context(), bad, map[string]*os.File{"uts": r.Files["uts"]}); err == nil {
			t.Errorf("%+v was kept", bad)
		}
	}
}

// The namespaces of a stranger that has got the pid of a dead process do not become a sandbox.
func TestSandboxOfStranger(t *testing.T) {
	p := &process.Program{}
	p.Call("execute", busybox, unix.SYS_EXECVE, process.Str(busybox), process.Strs([]string{"sleep", "1000"}), process.Strs(nil))
	child, err := process.Start(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer child.Pidfd.Close()
	sandbox := keeper.Sandbox{Key: "web", Kinds: []string{"net", "uts"}}
	if kept, err := keeper.AdoptSandbox(sandbox, child.Pid, child.Pidfd); err != nil || !kept {
		t.Errorf("of the process itself: %v, %v", kept, err)
	}
	if err := process.Signal(child.Pidfd, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := process.Reap(child.Pidfd); err != nil {
		t.Fatal(err)
	}
	if kept, err := keeper.AdoptSandbox(sandbox, os.Getpid(), child.Pidfd); !errors.Is(err, unix.ESRCH) || kept {
		t.Errorf("of a stranger: %v, %v", kept, err)
	}
}
