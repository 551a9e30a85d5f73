package linux_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// killKeeper ends the keeper with SIGKILL and waits until it is gone.
func (n *node) killKeeper(t testing.TB) {
	t.Helper()
	pid := n.keeper(t)
	pidfd, err := unix.PidfdOpen(pid, 0)
	must(t, err)
	defer unix.Close(pidfd)
	must(t, unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0))
	for {
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			must(t, err)
			return
		}
	}
}

// Neither the agent's end nor the keeper's is a container's: same process, same limits, stops still armed.
func TestAgentAndKeeperEnd(t *testing.T) {
	n := open(t)
	c := n.container("web", `trap 'echo asked; exit 4' TERM; echo up; while :; do sleep 0.05; done`)
	n.run(t, c, 1)
	n.run(t, n.container("stubborn", stubborn), 1)
	n.run(t, n.container("paused", forever), 1)
	n.hear(t, "web", "up")
	n.hear(t, "stubborn", "up")
	must(t, n.Pause(t.Context(), "paused", 1))
	before, err := n.Observe(t.Context())
	must(t, err)
	for _, kill := range []bool{false, true, true} {
		if kill {
			n.killKeeper(t)
		}
		n.reopen(t)
		after, err := n.Observe(t.Context())
		must(t, err)
		for i := range before {
			if len(after) != len(before) || after[i].Pid != before[i].Pid || after[i].Phase != before[i].Phase || after[i].Hash != before[i].Hash || after[i].Starts != 1 {
				t.Fatalf("keeper killed: %v: got %+v, was %+v", kill, after, before)
			}
		}
	}
	must(t, n.Stop(t.Context(), "stubborn", 1, "SIGTERM", 300*time.Millisecond))
	n.killKeeper(t)
	must(t, n.Stop(t.Context(), "web", 1, "SIGTERM", patience)) // wakes another keeper
	n.await(t, "web", 1, exited)
	n.await(t, "stubborn", 1, exited)
	if !strings.Contains(n.output(t, "web"), "asked") {
		t.Errorf("lost output: %q", n.output(t, "web"))
	}
	must(t, n.Resume(t.Context(), "paused", 1))
	must(t, n.Start(t.Context(), "web", 1))
	if got := n.await(t, "web", 1, in(spec.InstanceRunning)); got.Starts != 2 {
		t.Errorf("the start after all that: %+v", got)
	}
}

// An exit that nobody saw is Unknown; one that a dying keeper left unrecorded is found.
func TestExitWithoutKeeper(t *testing.T) {
	n := open(t)
	n.run(t, n.container("web", "echo up; sleep 1000; true"), 1)
	pid := n.await(t, "web", 1, in(spec.InstanceRunning)).Pid
	n.killKeeper(t)
	must(t, unix.Kill(pid, unix.SIGKILL))
	n.reopen(t)
	got := n.await(t, "web", 1, exited).Exit
	if got.Reason == spec.ExitUnknown && got.Code != -1 || got.Reason != spec.ExitUnknown && got.Code != 137 {
		t.Errorf("got %+v, want SIGKILL or Unknown", got)
	}
	must(t, n.Start(t.Context(), "web", 1))
}

// The cgroup parent may go while nothing runs, as systemd's scope does with its keeper: what has ended is still what it was.
func TestParentGoes(t *testing.T) {
	n := open(t)
	c := n.container("web", "exit 6")
	c.Spec.Resources.Pids.Max = spec.NewLimit(50)
	n.run(t, c, 1)
	before := n.await(t, "web", 1, exited)
	n.killKeeper(t)
	for _, root := range append(slices.Collect(maps.Values(kerneltest.Tree(t).V1)), kerneltest.Tree(t).Unified) {
		for _, dir := range []string{"web/1", "web", ""} {
			if err := unix.Rmdir(filepath.Join(root, n.groups(), dir)); err != nil && !errors.Is(err, unix.ENOENT) {
				t.Fatal(dir, err)
			}
		}
	}
	all, err := n.Observe(t.Context())
	must(t, err)
	if len(all) != 1 || all[0].Phase != spec.InstanceExited || *all[0].Exit != *before.Exit || !all[0].Resources.Equal(before.Resources) {
		t.Errorf("got %+v, was %+v", all, before)
	}
	must(t, n.Start(t.Context(), "web", 1))
	if got := n.await(t, "web", 1, exited); got.Starts != 2 {
		t.Errorf("after the next Start: %+v", got)
	}
}

// A second agent on one run directory or one cgroup parent is refused and told whose it is, and leaves no keeper behind.
func TestSecondAgent(t *testing.T) {
	n := open(t)
	if second, err := linux.Open(t.Context(), n.config); err == nil {
		t.Error("the run directory has two agents", second.Close())
	} else if !strings.Contains(err.Error(), "pid") {
		t.Errorf("does not name the first: %v", err)
	}
	elsewhere := n.config
	elsewhere.RunDir, elsewhere.StateDir, elsewhere.LogDir = n.path("run2"), n.path("state2"), n.path("log2")
	second, err := linux.Open(t.Context(), elsewhere)
	if err == nil {
		t.Fatal("the cgroup parent has two agents", second.Close())
	}
	if _, ok := errors.AsType[*cgroup.LockedError](err); !ok {
		t.Errorf("got %v, want a *cgroup.LockedError", err)
	}
	text, err := os.ReadFile(n.path("run2", "state", "keeper.lock"))
	if err == nil && unix.Kill(atoi(t, string(text)), 0) == nil {
		t.Errorf("left keeper %s", text)
	}
}

// Shutdown ends what an empty node has, and nothing of one that is not.
func TestShutdown(t *testing.T) {
	n := open(t)
	n.run(t, n.container("web", forever), 1)
	pid := n.keeper(t)
	must(t, n.Shutdown(t.Context()))
	if got := n.look(t, "web", 1); got.Phase != spec.InstanceRunning || unix.Kill(pid, 0) != nil {
		t.Errorf("Shutdown of a node that keeps something: %+v", got)
	}
	must(t, n.Destroy(t.Context(), "web", 1, false))
	must(t, n.Shutdown(t.Context()))
	if left := kerneltest.Take(t, kerneltest.Scope{Parent: n.config.CgroupParent}); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	n.reopen(t)
}
