package process

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// watchdog kills the child of a start that takes too long, which also lets the starter's thread go on.
type watchdog struct {
	sync.Mutex
	frame   *frame
	timer   *time.Timer
	stopped bool
	killed  bool
}

func startWatchdog(f *frame, timeout time.Duration) *watchdog {
	w := &watchdog{frame: f}
	w.Lock()
	defer w.Unlock()
	w.timer = time.AfterFunc(timeout, w.bite)
	return w
}

// kill ends the child, whose pidfd is known.
func (w *watchdog) kill() {
	w.Lock()
	defer w.Unlock()
	_ = unix.PidfdSendSignal(int(w.frame.pidfd), unix.SIGKILL, nil, 0)
}

// bite kills the child, or comes back later if the kernel is still making it.
func (w *watchdog) bite() {
	w.Lock()
	defer w.Unlock()
	pidfd := atomic.LoadInt32(&w.frame.pidfd)
	switch {
	case w.stopped:
	case pidfd < 0:
		w.timer.Reset(10 * time.Millisecond)
	default:
		w.killed = true
		_ = unix.PidfdSendSignal(int(pidfd), unix.SIGKILL, nil, 0)
	}
}

// stop ends the watch and tells whether the child was killed. After it the pidfd is the caller's alone.
func (w *watchdog) stop() (killed bool) {
	w.timer.Stop()
	w.Lock()
	defer w.Unlock()
	w.stopped = true
	return w.killed
}
