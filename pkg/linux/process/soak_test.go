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
				child, err := process.Start(p, files)
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

// grow uses much stack, which the collector then takes away again.
func grow(depth int) int {
	var frame [64]int
	if depth > 0 {
		frame[depth%64] = grow(depth - 1)
	}
	return frame[(depth+1)%64]
}
