package keeper_test

import (
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// waiting is a start whose process waits in its cgroup until somebody writes to the pipe, or nobody can any more.
func (n *node) waiting(name, script string, patience time.Duration) (keeper.StartRequest, *os.File) {
	n.t.Helper()
	door, open, err := process.Pipe(1)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { door.Close(); open.Close() })
	r := n.request(name, 1, script)
	last := len(r.Program.Ops) - 1
	execute := r.Program.Ops[last]
	r.Program.Ops = r.Program.Ops[:last]
	r.Program.Park()
	r.Files["door"] = door
	op := r.Program.Call("wait", "", unix.SYS_READ, r.Program.File("door"), process.Data(make([]byte, 1)), process.Int(1))
	op.Out = r.Program.Slot()
	r.Program.Call("wait", "", unix.SYS_MUNMAP, process.Int(0), process.In(op.Out)) // fails if nothing was read
	r.Program.Ops = append(r.Program.Ops, execute)
	r.Patience, r.Once = patience, true
	return r, open
}

// A start that waits for somebody holds up nobody: neither who asks, nor other starts, nor, when an upgrade waits for it, those who come then.
func TestPatientStart(t *testing.T) {
	n := newNode(t)
	r, door := n.waiting("slow", "exec sleep 100000", time.Hour)
	started := make(chan error, 1)
	go func() { _, err := n.client.Start(t.Context(), r); started <- err }()
	n.eventually("process of slow", func() bool { text, _ := os.ReadFile(r.Cgroup + "/cgroup.procs"); return len(text) > 0 })
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	upgraded := make(chan error, 1)
	go func() { upgraded <- n.client.Upgrade(t.Context(), exe) }()
	time.Sleep(300 * time.Millisecond) // the successor is asked whether it can go on
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := n.client.List(ctx); err != nil {
		t.Fatalf("list: %v", err)
	}
	other := n.request("other", 1, "exit 3")
	s, err := n.client.Start(ctx, other)
	if err != nil {
		t.Fatalf("another start: %v", err)
	}
	if e := n.exit(other, s); e.Code != 3 {
		t.Errorf("exit = %+v", e)
	}
	if _, err := door.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil {
		t.Errorf("the start: %v", err)
	}
	if err := <-upgraded; err != nil && !errors.Is(err, unix.EBUSY) {
		t.Errorf("the upgrade: %v", err)
	}
	if err := n.client.Kill(ctx, r.Key, "SIGKILL"); err != nil {
		t.Errorf("kill: %v", err)
	}
}

// However long, or short, the patience is said to be, it is what any start has at least.
func TestStrangePatience(t *testing.T) {
	n := newNode(t)
	for name, said := range map[string]time.Duration{"least": math.MinInt64, "none": -1, "most": math.MaxInt64} {
		r, door := n.waiting(name, "exit 5", said)
		time.AfterFunc(50*time.Millisecond, func() { door.Write([]byte{0}) })
		s, err := n.client.Start(t.Context(), r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if e := n.exit(r, s); e.Code != 5 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// Two starts of an instance at once make one process; a release in between ends what waits.
func TestTwoStarts(t *testing.T) {
	n := newNode(t)
	r, door := n.waiting("two", "exec sleep 100000", time.Hour)
	pids := make(chan int, 4)
	for range cap(pids) {
		go func() {
			s, err := n.client.Start(t.Context(), r)
			if err != nil {
				t.Errorf("start: %v", err)
			}
			pids <- s.Pid
		}()
	}
	time.Sleep(50 * time.Millisecond)
	if _, err := door.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	first := <-pids
	for range cap(pids) - 1 {
		if pid := <-pids; pid != first {
			t.Errorf("processes %d and %d", first, pid)
		}
	}
}

// Who waits in vain for a keeper is told whom they waited for.
func TestSilentKeeper(t *testing.T) {
	run := kerneltest.SilentKeeper(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := keeper.Dial(ctx, run); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the keeper has not answered") {
		t.Errorf("got %v", err)
	}
}
