package process_test

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Starts from several threads at once, one in four failing, while the collector runs, stacks grow and
// move, goroutines are preempted by SIGURG and this process is sent signals.
func TestStartsUnderPressure(t *testing.T) {
	noLeaks(t)
	starts := 400
	if os.Getenv("RECONCILER_SOAK") != "" {
		starts = 20_000
	}
	files := null(t)
	var stop atomic.Bool
	var pressure, starters sync.WaitGroup
	for _, press := range []func(){
		runtime.GC,
		func() { grow(1000) },
		func() { _ = unix.Kill(os.Getpid(), unix.SIGURG) },
		func() { _ = make([]byte, 1<<20) },
	} {
		pressure.Go(func() {
			for !stop.Load() {
				press()
			}
		})
	}
	for starter := range 4 {
		starters.Go(func() {
			for i := range starts / 4 {
				p := isolated()
				p.Clone = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWPID
				if starter == 0 {
					p.Ops[i%len(p.Ops)].Nr = noSuchCall
				}
				child, err := startOrPark(t, p, files, starter%2 == 1)
				if starter == 0 {
					if failure, ok := err.(*process.Error); !ok || failure.Op != i%len(p.Ops) || failure.Errno != unix.ENOSYS {
						t.Errorf("start %d: %v", i, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("start %d: %v", i, err)
					continue
				}
				if exit, err := process.Reap(child.Pidfd); exit != (process.Exit{}) || err != nil {
					t.Errorf("start %d: %v, %v", i, exit, err)
				}
				_ = child.Pidfd.Close()
			}
		})
	}
	starters.Wait()
	stop.Store(true)
	pressure.Wait()
}

// startOrPark starts a program, or parks it first of all and waits until it executes.
func startOrPark(t *testing.T, p *process.Program, files map[string]*os.File, park bool) (*process.Process, error) {
	if !park {
		return process.Start(p, files)
	}
	q := *p
	q.Ops = nil
	q.Park()
	q.Ops = append(q.Ops, p.Ops...)
	child, err := process.StartParked(&q, files)
	if err == nil {
		err = child.Wait(t.Context())
	}
	if err != nil {
		return nil, err
	}
	return &child.Process, nil
}

// grow uses much stack, which the collector then takes away again.
func grow(depth int) int {
	var frame [64]int
	if depth > 0 {
		frame[depth%64] = grow(depth - 1)
	}
	return frame[(depth+1)%64]
}
