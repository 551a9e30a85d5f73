package process_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// gone fails unless a process is neither there nor to be reaped.
func gone(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("process %d is there: %v", pid, err)
	}
}

// A child is ended and reaped wherever it is by then: before its command, in it, after it.
func TestAbandon(t *testing.T) {
	noLeaks(t)
	for name, lead := range map[string]func(g *guest){
		"waiting": func(*guest) {},
		"running": func(g *guest) {
			g.let(t)
			if err := g.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"unobserved": func(g *guest) {
			g.let(t)
			_, _ = g.out.Read(make([]byte, 1))
		},
		"given up": func(g *guest) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := g.Wait(ctx); err == nil {
				t.Error("it has executed its command")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := parkedWith(t, &process.Program{}, nil, nil, "/bin/sh", "-c", "echo; exec sleep 100000")
			pid := g.Pid
			lead(g)
			if err := g.Abandon(); err != nil {
				t.Error(err)
			}
			gone(t, pid)
		})
	}
	t.Run("failed", func(t *testing.T) {
		g := parkedWith(t, &process.Program{}, nil, func(p *process.Program) { p.Call("fail", "here", noSuchCall) }, "/bin/true")
		pid := g.Pid
		g.let(t)
		failure := g.Wait(t.Context())
		if err := g.Abandon(); err != nil || failure == nil {
			t.Errorf("%v after %v", err, failure)
		}
		gone(t, pid)
	})
}

// One that was reborn is ended with the process that it was, which nobody has waited for.
func TestAbandonReborn(t *testing.T) {
	noLeaks(t)
	p := confined(nil, func(p *process.Program) { p.Call("rest", "", unix.SYS_PPOLL) }, "/bin/true")
	g := startConfined(t, p)
	g.let(t)
	parked, child := g.Pid, 0
	until(t, "the parked process has had its child", func() bool {
		number, isTold := strings.CutPrefix(strings.TrimSpace(g.file(t, "comm")), "born ")
		child, _ = strconv.Atoi(number)
		return isTold
	})
	if err := g.Abandon(); err != nil {
		t.Error(err)
	}
	gone(t, parked)
	gone(t, child)
}
