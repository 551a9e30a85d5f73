package keeper_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/log"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// trapping is a shell that handles SIGTERM as told and says when it is ready.
func trapping(do string) string {
	return "trap '" + do + "' TERM; echo ready; while :; do sleep 0.1; done"
}

// startReady starts a script and waits for its first output.
func (n *node) startReady(name, script string) (keeper.StartRequest, keeper.Started) {
	n.t.Helper()
	r, s := n.start(name, script)
	n.eventually("output of "+name, func() bool { return len(n.lines(name, log.Options{})) > 0 })
	return r, s
}

func (n *node) stop(r keeper.StartRequest, timeout time.Duration) {
	n.t.Helper()
	if err := n.client.Stop(n.t.Context(), r.Key, "SIGTERM", timeout); err != nil {
		n.t.Fatal(err)
	}
}

func TestStop(t *testing.T) {
	n := newNode(t)
	for name, c := range map[string]struct {
		script  string
		timeout time.Duration
		want    spec.Exit
	}{
		"handled":   {trapping("exit 3"), time.Hour, spec.Exit{Code: 3, Reason: spec.ExitStopped}},
		"unhandled": {"echo ready; while :; do sleep 0.1; done", time.Hour, spec.Exit{Code: 137, Signal: "SIGKILL", Reason: spec.ExitStopSignalUnhandled}},
		"ignored":   {trapping(""), time.Hour, spec.Exit{Code: 137, Signal: "SIGKILL", Reason: spec.ExitStopSignalUnhandled}},
		"late":      {trapping("true"), 50 * time.Millisecond, spec.Exit{Code: 137, Signal: "SIGKILL", Reason: spec.ExitStopTimeout}},
		"at once":   {trapping("true"), 0, spec.Exit{Code: 137, Signal: "SIGKILL", Reason: spec.ExitStopTimeout}},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := n.startReady(name, c.script)
			n.stop(r, c.timeout)
			got := n.exit(r, s)
			if got.Code != c.want.Code || got.Signal != c.want.Signal || got.Reason != c.want.Reason {
				t.Errorf("exit = %+v, want %+v", got, c.want)
			}
			n.stop(r, c.timeout) // of an ended one: no error
		})
	}
}

// A repeated stop neither prolongs the deadline nor sends the signal again; a shorter one shortens it.
func TestStopRepeated(t *testing.T) {
	n := newNode(t)
	r, s := n.startReady("patient", trapping("echo term"))
	n.stop(r, time.Hour)
	n.eventually("signal", func() bool { return len(n.lines("patient", log.Options{})) == 2 })
	first := n.stopping(r)
	n.stop(r, 2*time.Hour)
	if again := n.stopping(r); again != first {
		t.Errorf("prolonged: %v, then %v", first, again)
	}
	n.stop(r, 50*time.Millisecond)
	if got := n.exit(r, s); got.Reason != spec.ExitStopTimeout {
		t.Errorf("exit = %+v", got)
	}
	if got := n.lines("patient", log.Options{}); len(got) != 2 {
		t.Errorf("lines = %q", got)
	}
}

func (n *node) stopping(r keeper.StartRequest) (s spec.Stopping) {
	n.t.Helper()
	n.readJSON(filepath.Join(r.Dir, keeper.StopFile), &s)
	return s
}

// The deadline of a stop outlives the keeper that armed it.
func TestStopDeadlineSurvivesKeeper(t *testing.T) {
	n := newNode(t)
	r, s := n.startReady("survivor", trapping("true"))
	n.stop(r, 500*time.Millisecond)
	n.killKeeper()
	n.client = n.ensure()
	if got := n.exit(r, s); got.Reason != spec.ExitStopTimeout || got.Code != 137 {
		t.Errorf("exit = %+v", got)
	}
}

func TestKill(t *testing.T) {
	n := newNode(t)
	r, s := n.startReady("victim", trapping("exit 4"))
	if err := n.client.Kill(t.Context(), r.Key, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	if got := n.exit(r, s); got.Reason != spec.ExitKilled || got.Code != 137 {
		t.Errorf("exit = %+v", got)
	}

	// The second start in the same instance begins anew; a signal other than SIGKILL is no reason of ours.
	s2, err := n.client.Start(t.Context(), r)
	if err != nil || s2.Starts != 2 || s2.Pid == s.Pid {
		t.Fatalf("second start = %+v, %v", s2, err)
	}
	if _, err := os.Stat(filepath.Join(r.Dir, keeper.StopFile)); err == nil {
		t.Error("the first run's stop.json is left")
	}
	n.eventually("second output", func() bool { return len(n.lines("victim", log.Options{})) == 2 })
	if err := n.client.Kill(t.Context(), r.Key, "SIGTERM"); err != nil {
		t.Fatal(err)
	}
	if got := n.exit(r, s2); got.Reason != spec.ExitError || got.Code != 4 {
		t.Errorf("exit = %+v", got)
	}
	if got := n.lines("victim", log.Options{Previous: true}); len(got) != 1 {
		t.Errorf("previous = %q", got)
	}
}

func TestReleaseKills(t *testing.T) {
	n := newNode(t)
	r, _ := n.startReady("doomed", trapping("true"))
	for range 2 {
		if err := n.client.Release(t.Context(), r.Key); err != nil {
			t.Fatal(err)
		}
	}
	if ps, err := n.client.List(t.Context()); err != nil || len(ps) != 0 {
		t.Errorf("list = %v, %v", ps, err)
	}
	if err := n.client.Forget(t.Context(), "doomed"); err != nil {
		t.Error(err)
	}
	if err := os.Remove(r.Cgroup); err != nil {
		t.Errorf("something is left in the cgroup: %v", err)
	}
}
