package linux_test

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A whole life leaves nothing: no cgroup, task, mount or file of the node, no descriptor of agent or keeper.
func TestLife(t *testing.T) {
	n := open(t)
	for _, medium := range []spec.Medium{spec.MediumMemory, spec.MediumDisk} { // what is made once and kept is there from now on
		n.say(t, n.writable("warm", "echo up", spec.Writable{Medium: medium, Life: spec.LifeInstance}))
	}
	all := kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}, Pids: []int{0, n.keeper(t)}}
	for _, w := range []spec.Writable{
		{Medium: spec.MediumMemory, Life: spec.LifeStart},
		{Medium: spec.MediumMemory, Life: spec.LifeInstance},
		{Medium: spec.MediumMemory, Life: spec.LifeName},
		{Medium: spec.MediumDisk, Life: spec.LifeStart},
		{Medium: spec.MediumDisk, Life: spec.LifeInstance},
		{Medium: spec.MediumDisk, Life: spec.LifeName},
	} {
		t.Run(string(w.Medium)+string(w.Life), func(t *testing.T) {
			kerneltest.NoLeaks(t, all)
			n.live(t, n.writable("web", "echo x > /file; mkdir /made; "+forever, w))
		})
	}
}

// live leads a container through every verb and phase.
func (n *node) live(t *testing.T, c spec.Container) {
	ctx, name := t.Context(), c.Metadata.Name
	must(t, n.Create(ctx, c, 1, spec.DefaultsVersion))
	if got := n.look(t, name, 1); got.Phase != spec.InstanceCreated || got.Pid != 0 || got.Starts != 0 || got.Hash != spec.Identity(c, spec.DefaultsVersion) {
		t.Errorf("after Create: %+v", got)
	}
	must(t, n.Start(ctx, name, 1))
	n.hear(t, name, "up")
	first := n.look(t, name, 1)
	if first.Phase != spec.InstanceRunning || first.Pid == 0 || first.Starts != 1 {
		t.Errorf("after Start: %+v", first)
	}
	must(t, n.Pause(ctx, name, 1))
	if got := n.look(t, name, 1); got.Phase != spec.InstancePaused || got.Pid != first.Pid {
		t.Errorf("after Pause: %+v", got)
	}
	must(t, n.Resume(ctx, name, 1))
	if got := n.look(t, name, 1); got.Phase != spec.InstanceRunning || got.Pid != first.Pid {
		t.Errorf("after Resume: %+v", got)
	}
	must(t, n.Stop(ctx, name, 1, "SIGTERM", patience))
	if got := n.await(t, name, 1, exited); got.Exit.Code != 0 || got.Exit.Reason != spec.ExitStopped || got.Exit.Pid != first.Pid || got.Pid != 0 {
		t.Errorf("after Stop: %+v, exit %+v", got, got.Exit)
	}
	must(t, n.Start(ctx, name, 1))
	if got := n.await(t, name, 1, in(spec.InstanceRunning)); got.Starts != 2 || got.Exit != nil || !got.Stopping.IsZero() {
		t.Errorf("after the second Start: %+v", got)
	}
	must(t, n.Kill(ctx, name, 1, "SIGKILL"))
	if got := n.await(t, name, 1, exited); got.Exit.Code != 137 || got.Exit.Signal != "SIGKILL" || got.Exit.Reason != spec.ExitKilled {
		t.Errorf("after Kill: exit %+v", got.Exit)
	}
	must(t, n.Start(ctx, name, 1))
	must(t, n.Destroy(ctx, name, 1, false))
	if all, err := n.ObserveOne(ctx, name); len(all) > 0 || err != nil {
		t.Errorf("after Destroy: %+v, %v", all, err)
	}
}

// How a process ends depends on what it makes of the signal; the reason says so.
func TestStop(t *testing.T) {
	n := open(t)
	for _, test := range []struct {
		name, script, signal string
		timeout              time.Duration
		init, paused         bool
		code                 int
		reason               string
	}{
		{"caught", `trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done`, "SIGTERM", patience, false, false, 3, spec.ExitStopped},
		{"another-signal", `trap 'exit 4' USR1; echo up; while :; do sleep 0.05; done`, "SIGUSR1", patience, false, false, 4, spec.ExitStopped},
		{"timeout", stubborn, "SIGTERM", 50 * time.Millisecond, false, false, 137, spec.ExitStopTimeout},
		{"no-timeout", stubborn, "SIGTERM", 0, false, false, 137, spec.ExitStopTimeout},
		{"unhandled", "echo up; exec sleep 1000", "SIGTERM", patience, false, false, 137, spec.ExitStopSignalUnhandled},
		{"ignored", "trap '' TERM; echo up; exec sleep 1000", "SIGTERM", patience, false, false, 137, spec.ExitStopSignalUnhandled},
		{"kill", forever, "SIGKILL", patience, false, false, 137, spec.ExitStopped},
		{"below-init", "echo up; exec sleep 1000", "SIGTERM", patience, true, false, 143, spec.ExitStopped},
		{"paused", `trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done`, "SIGTERM", patience, false, true, 5, spec.ExitStopped},
		{"paused-unhandled", "echo up; exec sleep 1000", "SIGTERM", patience, false, true, 137, spec.ExitStopSignalUnhandled},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := n.container(test.name, test.script)
			c.Spec.Init = test.init
			n.run(t, c, 1)
			n.hear(t, test.name, "up")
			if test.paused {
				must(t, n.Pause(t.Context(), test.name, 1))
			}
			must(t, n.Stop(t.Context(), test.name, 1, test.signal, test.timeout))
			got := n.await(t, test.name, 1, exited)
			if got.Exit.Code != test.code || got.Exit.Reason != test.reason {
				t.Errorf("got exit %+v, want code %d and reason %s", got.Exit, test.code, test.reason)
			}
			must(t, n.Destroy(t.Context(), test.name, 1, false))
		})
	}
}

// A process that is frozen in the middle of a fork blocks all signals for that moment. It is not taken for one that will heed them.
func TestStopInFork(t *testing.T) {
	n := open(t)
	n.run(t, n.container("web", "while :; do true & wait; done"), 1)
	for range 2000 {
		must(t, n.Pause(t.Context(), "web", 1))
		if s, err := process.ReadSignals(n.look(t, "web", 1).Pid); err != nil || s.Blocked.Has(unix.SIGTERM) {
			must(t, err)
			break
		}
		must(t, n.Resume(t.Context(), "web", 1))
	}
	must(t, n.Stop(t.Context(), "web", 1, "SIGTERM", 10*patience))
	if got := n.await(t, "web", 1, exited); got.Exit.Reason != spec.ExitStopSignalUnhandled {
		t.Errorf("got exit %+v", got.Exit)
	}
}

// A second Stop shortens the wait and never prolongs it.
func TestStopAgain(t *testing.T) {
	n := open(t)
	n.run(t, n.container("web", stubborn), 1)
	n.hear(t, "web", "up")
	deadline := func(timeout time.Duration) time.Time {
		must(t, n.Stop(t.Context(), "web", 1, "SIGTERM", timeout))
		return n.look(t, "web", 1).Stopping.Deadline
	}
	first := deadline(10 * patience)
	if longer := deadline(20 * patience); !longer.Equal(first) {
		t.Errorf("a longer timeout moved the deadline from %v to %v", first, longer)
	}
	if shorter := deadline(5 * patience); !shorter.Before(first) {
		t.Errorf("a shorter timeout left the deadline at %v", shorter)
	}
	deadline(0)
	n.await(t, "web", 1, exited)
}

// With init a reaper is process 1: orphans do not stay zombies, and TERM reaches the command.
func TestInit(t *testing.T) {
	n := open(t)
	c := n.container("reaper", `(sleep 0.01 & ); trap 'echo zombies: $(grep -l "State:.Z" /proc/[0-9]*/status | wc -l); exit 9' TERM; echo "first: $(cat /proc/1/comm), me: $$"; while :; do sleep 0.05; done`)
	c.Spec.Init = true
	n.run(t, c, 1)
	n.hear(t, "reaper", "me:")
	must(t, n.Stop(t.Context(), "reaper", 1, "SIGTERM", patience))
	got := n.await(t, "reaper", 1, exited)
	out := n.output(t, "reaper")
	if got.Exit.Code != 9 || got.Exit.Reason != spec.ExitStopped || !strings.Contains(out, "first: init, me: 2") || !strings.Contains(out, "zombies: 0") {
		t.Errorf("got exit %+v and output %q", got.Exit, out)
	}
}
