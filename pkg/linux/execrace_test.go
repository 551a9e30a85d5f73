package linux_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Many enter a container that has no room for them, while it is paused, resumed, stopped, started and destroyed: each call ends, whatever it says, and at the
// end nothing is left.
func TestExecRaces(t *testing.T) {
	n := open(t)
	n.say(t, n.container("warm", ""))
	keeper := n.keeper(t)
	for round := range rounds(6) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			kerneltest.NoLeaks(t, kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}})
			c := n.container("web", forever)
			c.Spec.Resources.Pids.Max = spec.NewLimit(24)
			n.run(t, c, 1)
			n.hear(t, "web", "up")
			ctx, cancel := context.WithCancel(t.Context())
			var work sync.WaitGroup
			var entered, refused atomic.Int32
			for i := range 24 {
				work.Go(func() {
					for ctx.Err() == nil {
						e := command("echo in; sleep 0.01")
						e.TTY, e.Detach = i%4 == 0, i%4 == 1
						s, err := n.Exec(ctx, "web", 1, e)
						if err != nil {
							refused.Add(1)
							continue
						}
						if e.TTY {
							_ = s.Resize(spec.TerminalSize{Rows: uint16(i), Columns: 65535})
						}
						if !e.Detach {
							_, _ = io.Copy(io.Discard, s.Stdout())
						}
						entered.Add(1)
						_ = s.Close()
					}
				})
			}
			others := []func(){
				func() { _ = n.Pause(ctx, "web", 1); _ = n.Resume(ctx, "web", 1) },
				func() { _ = n.Stop(ctx, "web", 1, "SIGTERM", time.Millisecond); _ = n.Start(ctx, "web", 1) },
				func() {
					if a, err := n.Attach(ctx, "web", 1); err == nil {
						_ = a.Close()
					}
				},
			}
			var verbs sync.WaitGroup
			var stop atomic.Bool
			for i, other := range others {
				verbs.Go(func() {
					for !stop.Load() && (i > 0 || round%2 == 0) {
						other()
						time.Sleep(time.Duration(i) * 5 * time.Millisecond)
					}
				})
			}
			time.Sleep(300 * time.Millisecond)
			stop.Store(true) // whoever destroys does nothing else with it at the same time, but sessions go on
			soon(t, "the verbs", func(context.Context) error { verbs.Wait(); return nil })
			soon(t, "destroy", func(ctx context.Context) error { return n.Destroy(ctx, "web", 1, false) })
			cancel()
			soon(t, "everything", func(context.Context) error { work.Wait(); return nil })
			soon(t, "destroy again", func(ctx context.Context) error { return n.Destroy(ctx, "web", 1, false) })
			t.Logf("%d entered, %d refused", entered.Load(), refused.Load())
		})
	}
	eventually(t, "the keeper has no children", func() bool { return len(childrenOf(t, keeper)) == 0 })
	if n.keeper(t) != keeper {
		t.Error("the keeper is another one")
	}
}
