package keeper_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/log"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func (n *node) readJSON(path string, into any) {
	n.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		n.t.Fatal(err)
	}
}

// counting prints numbered lines, then waits for the file and ends with the code. Every hundredth goes to stderr.
func (n *node) counting(lines, code int) string {
	return fmt.Sprintf(`i=0
while [ $i -lt %d ]; do
	i=$((i+1))
	case $i in *00) echo line $i >&2;; *) echo line $i;; esac
done
while [ ! -e %s/go ]; do sleep 0.02; done
exit %d`, lines, n.run, code)
}

// finish lets the counting scripts end.
func (n *node) finish() {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.run, "go"), nil, 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// checkLines holds each stream of a log to what counting prints: none missing, none twice, none torn.
func (n *node) checkLines(name string, lines int) {
	n.t.Helper()
	want := map[log.Stream]int{log.Stdout: 1, log.Stderr: 100}
	for line, err := range log.Read(n.t.Context(), filepath.Join(n.run, "log", name), log.Options{}) {
		if err != nil {
			n.t.Fatal(err)
		}
		if text := "line " + strconv.Itoa(want[line.Stream]); string(line.Text) != text || line.Partial || line.Dropped != 0 {
			n.t.Fatalf("%s: %s has %q (partial %v, dropped %d), want %q", name, line.Stream, line.Text, line.Partial, line.Dropped, text)
		}
		if line.Time.IsZero() || line.Run != (log.Run{Instance: 1, Start: 1}) {
			n.t.Fatalf("%s: %q at %v of run %v", name, line.Text, line.Time, line.Run)
		}
		if line.Stream == log.Stderr {
			want[log.Stderr] += 100
			continue
		}
		if want[log.Stdout]++; want[log.Stdout]%100 == 0 {
			want[log.Stdout]++
		}
	}
	if last := max(want[log.Stdout]-1, want[log.Stderr]-100); last != lines {
		n.t.Errorf("%s: %d lines, want %d", name, last, lines)
	}
}

// load starts containers that count and calls disturb some times meanwhile. Nothing may be lost, and nobody restarted.
func (n *node) load(containers, lines, times int, disturb func(i int)) {
	n.t.Helper()
	var rs []keeper.StartRequest
	var ss []keeper.Started
	for i := range containers {
		r, s := n.start("count"+strconv.Itoa(i), n.counting(lines, 40+i))
		rs, ss = append(rs, r), append(ss, s)
	}
	for i := range times {
		disturb(i)
		time.Sleep(20 * time.Millisecond)
	}
	ps, err := n.client.List(n.t.Context())
	if err != nil || len(ps) != containers {
		n.t.Fatalf("list = %v, %v", ps, err)
	}
	for i, s := range ss {
		if again, err := n.client.Start(n.t.Context(), rs[i]); err != nil || again.Pid != s.Pid || again.Starts != 1 {
			n.t.Errorf("start of a running one = %+v, %v, want %+v", again, err, s)
		}
	}
	for i, r := range rs {
		n.eventually("last line of "+r.Name, func() bool {
			last := n.lines(r.Name, log.Options{Tail: 1, Stream: log.Stderr})
			return len(last) == 1 && last[0] == "line "+strconv.Itoa(lines)
		})
		_ = i
	}
	n.finish()
	for i, r := range rs {
		if e := n.exit(r, ss[i]); e.Code != 40+i || e.Reason != spec.ExitError {
			n.t.Errorf("%s: exit = %+v, want code %d", r.Name, e, 40+i)
		}
		n.checkLines(r.Name, lines)
	}
}

func TestKeeperKilled(t *testing.T) {
	n := newNode(t)
	n.load(4, scaled(50_000, 500_000), scaled(12, 200), func(int) {
		n.killKeeper()
		if _, err := n.client.List(t.Context()); err != nil { // starts a new one
			t.Fatal(err)
		}
	})
}

func TestUpgradeUnderLoad(t *testing.T) {
	n := newNode(t)
	before := n.keeperPid()
	exe, err := keeper.Sealed("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	n.load(4, scaled(50_000, 500_000), scaled(8, 100), func(int) {
		if err := n.client.Upgrade(t.Context(), exe); err != nil {
			t.Fatal(err)
		}
	})
	if after := n.keeperPid(); after != before {
		t.Errorf("keeper was %d, is %d", before, after)
	}
}

// A successor that does not understand is refused, and nothing changes.
func TestUpgradeRefused(t *testing.T) {
	n := newNode(t)
	r, s := n.startReady("stays", trapping("exit 3"))
	exe, err := os.Open(busybox)
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	if err := n.client.Upgrade(t.Context(), exe); err == nil {
		t.Fatal("busybox became the keeper")
	}
	n.stop(r, time.Hour)
	if e := n.exit(r, s); e.Code != 3 {
		t.Errorf("exit = %+v", e)
	}
}

// The agent's side may die in the middle of any request.
func TestClientKilled(t *testing.T) {
	n := newNode(t)
	var work sync.WaitGroup
	for i := range 20 {
		work.Go(func() {
			c, err := keeper.Dial(t.Context(), n.run)
			if err != nil {
				t.Error(err)
				return
			}
			r := n.request("orphan", uint64(i+1), "exit 9")
			go c.Start(t.Context(), r)
			time.Sleep(time.Duration(i) * 100 * time.Microsecond)
			c.Close()
		})
	}
	work.Wait()
	r, s := n.start("after", "exit 6")
	if e := n.exit(r, s); e.Code != 6 {
		t.Errorf("exit = %+v", e)
	}
}

func TestTwoKeepers(t *testing.T) {
	n := newNode(t)
	hello, err := n.client.Hello(t.Context())
	if err != nil || hello.Pid != n.keeperPid() || hello.Build != keeper.BuildID("/proc/self/exe") || !strings.Contains(hello.Build, "/") {
		t.Errorf("hello = %+v, %v", hello, err)
	}
	err = keeper.Run(t.Context(), keeper.Config{RunDir: n.run})
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(n.keeperPid())) {
		t.Errorf("second keeper: %v", err)
	}
}

// An exit is exact if any keeper, child or not, was there to see it (Linux 6.15), and else Unknown.
func TestExitAfterAdoption(t *testing.T) {
	n := newNode(t)
	r, s := n.startReady("adopted", trapping("exit 7"))
	n.killKeeper()
	n.client = n.ensure()
	n.stop(r, time.Hour)
	want := spec.Exit{Code: 7, Reason: spec.ExitStopped}
	if got := n.exit(r, s); (got.Code != want.Code || got.Reason != want.Reason) && !(got.Reason == spec.ExitUnknown && !pidfdInfo(t)) {
		t.Errorf("exit = %+v, want %+v", got, want)
	}
}

// pidfdInfo probes for PIDFD_GET_INFO's exit information, since Linux 6.15.
func pidfdInfo(t *testing.T) bool {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	return unix.IoctlPidfdInfo(fd, &info) == nil
}

func TestExitUnseen(t *testing.T) {
	n := newNode(t)
	r, s := n.startReady("unseen", trapping("exit 7"))
	n.killKeeper()
	if err := unix.Kill(s.Pid, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	n.eventually("reaping by another", func() bool { return errors.Is(unix.Kill(s.Pid, 0), unix.ESRCH) })
	n.client = n.ensure()
	if got := n.exit(r, s); got.Code != -1 || got.Reason != spec.ExitUnknown {
		t.Errorf("exit = %+v", got)
	}
	if said := n.says(); !strings.Contains(said, `ended while no keeper ran","name":"unseen"`) {
		t.Errorf("the keeper does not say that output may be lost: %s", said)
	}
}

// A keeper killed between making a process and recording it leaves an intent; the process is found, not started again.
func TestIntentAdopted(t *testing.T) {
	n := newNode(t)
	r, s := n.startReady("half", trapping("exit 8"))
	n.killKeeper()
	var record map[string]any
	n.readJSON(filepath.Join(r.Dir, keeper.StartFile), &record)
	record["pid"], record["startTime"] = 0, 0
	text, _ := json.Marshal(record)
	if err := os.WriteFile(filepath.Join(r.Dir, "starting.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(r.Dir, keeper.StartFile)); err != nil {
		t.Fatal(err)
	}
	n.client = n.ensure()
	again, err := n.client.Start(t.Context(), r)
	if err != nil || again.Pid != s.Pid || again.StartTime != s.StartTime || again.Starts != 1 {
		t.Fatalf("start = %+v, %v, want %+v", again, err, s)
	}
	n.stop(r, time.Hour)
	if got := n.exit(r, s); got.Code != 8 && pidfdInfo(t) {
		t.Errorf("exit = %+v", got)
	}
}

// A keeper killed at any moment of a start never leads to a second one.
func TestKeeperKilledWhileStarting(t *testing.T) {
	n := newNode(t)
	for i := range scaled(25, 400) {
		name := "once" + strconv.Itoa(i)
		r := n.request(name, 1, "echo begin; echo ready; exec sleep 100000")
		done := make(chan error, 1)
		go func() {
			_, err := n.client.Start(t.Context(), r) // by the next keeper if need be
			done <- err
		}()
		time.Sleep(time.Duration(i%40) * 50 * time.Microsecond)
		n.killKeeper()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if _, err := n.client.List(t.Context()); err != nil { // a keeper killed after the start is missed only now
			t.Fatal(err)
		}
		n.eventually("output of "+name, func() bool { return len(n.lines(name, log.Options{})) >= 2 })
		if got := n.lines(name, log.Options{}); len(got) != 2 {
			t.Fatalf("%s: lines = %q", name, got)
		}
		s, err := n.client.Start(t.Context(), r)
		if err != nil || s.Starts != 1 {
			t.Fatalf("%s: %+v, %v", name, s, err)
		}
		if err := n.client.Release(t.Context(), r.Key); err != nil {
			t.Fatal(err)
		}
	}
}

// A start whose answer was lost is not carried out again, even if its process has ended and its keeper died meanwhile.
func TestLostAnswer(t *testing.T) {
	n := newNode(t)
	r := n.request("job", 1, "exit 3")
	var first keeper.Started
	again, err := n.client.StartTwice(t.Context(), r, func(s keeper.Started) {
		first = s
		n.exit(r, s)
		n.killKeeper()
	})
	if err != nil || again.Pid != first.Pid || again.Starts != 1 {
		t.Errorf("%+v, %v, want %+v", again, err, first)
	}
}

func TestEvents(t *testing.T) {
	n := newNode(t)
	events, err := n.client.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, _ := n.start("brief", "true")
	if e := <-events; e.Key != r.Key || e.Kind != spec.EventExit {
		t.Errorf("event = %+v", e)
	}
	n.killKeeper()
	if e := <-events; e.Kind != spec.EventLost {
		t.Errorf("event = %+v", e)
	}
	n.start("brief2", "true")
	if e := <-events; e.Name != "brief2" {
		t.Errorf("event = %+v", e)
	}
}

// Nothing grows with the number of starts.
func TestFlat(t *testing.T) {
	n := newNode(t)
	cycle := func(i int) {
		r, s := n.start("cycle", "exit 1")
		if e := n.exit(r, s); e.Code != 1 {
			t.Fatalf("exit = %+v", e)
		}
	}
	for i := range 10 {
		cycle(i)
	}
	fds, goroutines := n.settled(), runtime.NumGoroutine()
	for i := range 200 {
		cycle(i)
	}
	n.eventually("descriptors as before", func() bool { return n.descriptors() <= fds })
	if now := runtime.NumGoroutine(); now > goroutines {
		t.Errorf("client: %d goroutines, then %d", goroutines, now)
	}
}

// settled counts the keeper's descriptors once it has filled its pool.
func (n *node) settled() (count int) {
	n.t.Helper()
	for same := 0; same < 10; time.Sleep(20 * time.Millisecond) {
		if now := n.descriptors(); now == count {
			same++
		} else {
			count, same = now, 0
		}
	}
	return count
}

// descriptors counts the keeper's.
func (n *node) descriptors() int {
	n.t.Helper()
	ds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.keeperPid()))
	if err != nil {
		n.t.Fatal(err)
	}
	return len(ds)
}
