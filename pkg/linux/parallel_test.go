package linux_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Verbs of different names run in parallel, while everything is observed, and leave nothing.
func TestParallel(t *testing.T) {
	n := open(t)
	memory := spec.Writable{Medium: spec.MediumMemory, Life: spec.LifeInstance}
	n.say(t, n.writable("warm", "", memory))
	kerneltest.NoLeaks(t, kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}})
	ctx, done := context.WithCancel(t.Context())
	var watching, working sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			if _, err := n.Observe(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	for worker := range 8 {
		working.Go(func() {
			for round := range 4 {
				name := fmt.Sprintf("worker-%d", worker)
				c := n.writable(name, fmt.Sprintf("echo %s round %d; exit %d", name, round, round), memory)
				for _, do := range []func() error{
					func() error { return n.Create(ctx, c, uint64(round+1), spec.DefaultsVersion) },
					func() error { return n.Start(ctx, name, uint64(round+1)) },
					func() error { return n.awaitExit(name, round) },
					func() error { return n.Destroy(ctx, name, uint64(round+1), false) },
				} {
					if err := do(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	working.Wait()
	done()
	watching.Wait()
}

// awaitExit waits for the exit with a code; it fails the caller, which may be any goroutine, by an error.
func (n *node) awaitExit(name string, code int) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		all, err := n.ObserveOne(context.Background(), name)
		if err != nil {
			return err
		}
		if len(all) == 1 && all[0].Exit != nil {
			if all[0].Exit.Code != code {
				return fmt.Errorf("%s ended as %+v, want code %d", name, all[0].Exit, code)
			}
			return nil
		}
	}
	return fmt.Errorf("%s never ended", name)
}
