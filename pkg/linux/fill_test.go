package linux_test

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// feed starts a feeder that ends, with a code that is written into the file, when the file is closed. It is as one that has nothing to give.
func feed(t *testing.T, r *linux.Restore) *os.File {
	t.Helper()
	theirs, ours, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() { ours.Close() })
	ready, status, err := os.Pipe()
	must(t, err)
	defer ready.Close()
	tool := start.Tool{Argv: []string{"/bin/busybox", "sh", "-c", "echo >&4; exec 4>&-; read code <&3; exit $code"}, Files: []string{"code", "status"}}
	err = r.Feed(t.Context(), tool, map[string]*os.File{"code": theirs, "status": status})
	theirs.Close()
	status.Close()
	must(t, err)
	_, err = bufio.NewReader(ready).ReadString('\n')
	must(t, err)
	return ours
}

// fills waits until an instance is filling, or is not.
func (n *node) fills(t *testing.T, is bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); n.look(t, "web", 1).Filling != is; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("filling is %v for ever", !is)
		}
	}
}

func (n *node) noFeeder(t *testing.T) {
	t.Helper()
	groups, err := filepath.Glob(filepath.Join(filepath.Dir(n.look(t, "web", 1).Cgroup), "feed-*"))
	must(t, err)
	if len(groups) > 0 {
		t.Errorf("left: %v", groups)
	}
}

// What brings memory lives as long as it has to, whoever else ends, and no longer.
func TestFeed(t *testing.T) {
	n := open(t)
	must(t, n.Create(t.Context(), n.container("web", forever), 1, spec.DefaultsVersion))

	restore, _ := n.openRestore(t, "web", "stay")
	feed(t, restore)
	must(t, restore.Close()) // nothing is restored, and nothing filled
	n.noFeeder(t)

	restore, pid := n.openRestore(t, "web")
	code := feed(t, restore)
	must(t, restore.Hold(t.Context()))
	must(t, restore.Claim(t.Context(), pid, nil))
	must(t, restore.Wait(t.Context()))
	n.fills(t, true)
	if _, err := n.OpenDump(t.Context(), "web", 1); !errors.Is(err, spec.ErrBusy) {
		t.Errorf("a dump of one that is filling: %v", err)
	}
	n.killKeeper(t)
	n.reopen(t)
	n.fills(t, true)
	events, err := n.Events(t.Context())
	must(t, err)
	code.WriteString("0\n")
	next(t, events, spec.Event{Name: "web", Kind: spec.EventExit})
	n.fills(t, false)
	n.noFeeder(t)
	must(t, n.Filled(t.Context(), "web", 1, 0))
	if in := n.look(t, "web", 1); in.Phase != spec.InstanceRunning || in.Pid != pid {
		t.Errorf("filled: got %+v", in)
	}
	must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
	n.await(t, "web", 1, exited)

	restore, pid = n.openRestore(t, "web")
	code = feed(t, restore)
	must(t, restore.Claim(t.Context(), pid, nil))
	must(t, restore.Wait(t.Context()))
	if err := n.Filled(t.Context(), "web", 1, time.Millisecond); !errors.Is(err, spec.ErrBusy) {
		t.Errorf("waiting for one that is filling: %v", err)
	}
	code.WriteString("3\n")
	if in := n.await(t, "web", 1, exited); in.Exit.Reason != spec.ExitMemoryLost || in.Filling {
		t.Errorf("lost: got %+v, %+v", in, in.Exit)
	}
	n.noFeeder(t)
}

// A keeper that dies in the middle of a restore takes what was to bring memory with it, and one that ended before is no feeder.
func TestFeedGivenUp(t *testing.T) {
	n := open(t)
	must(t, n.Create(t.Context(), n.container("web", forever), 1, spec.DefaultsVersion))
	restore, _ := n.openRestore(t, "web", "stay")
	feed(t, restore)
	n.killKeeper(t)
	n.reopen(t)
	n.noFeeder(t)
	if in := n.look(t, "web", 1); in.Phase != spec.InstanceCreated || in.Filling {
		t.Errorf("given up: got %+v", in)
	}
	restore, _ = n.openRestore(t, "web", "stay")
	if err := restore.Hold(t.Context()); err == nil {
		t.Error("held what is not there")
	}
	code := feed(t, restore)
	code.WriteString("1\n")
	for deadline := time.Now().Add(patience); restore.Hold(t.Context()) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("one that has ended is held for ever")
		}
	}
	must(t, restore.Close())
	n.noFeeder(t)
}
