package keeper

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// heldPause is how long a further process may be on its way before somebody looks what holds it, and from then on between looks.
const heldPause = 50 * time.Millisecond

// hold is a watch over a further process on its way, which holds up the keeper's thread that makes it, or whoever waits for it, when its
// cgroup is frozen, or when somebody in the container has stopped it: it is killed then.
type hold struct {
	cgroup string
	timer  *time.Timer

	mu   sync.Mutex
	done bool
	why  error
}

func watchHold(cgroup string) *hold {
	h := &hold{cgroup: cgroup}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer = time.AfterFunc(heldPause, h.look)
	return h
}

// look kills what is held.
func (h *hold) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.done:
		return
	case frozen(h.cgroup):
		h.why = fmt.Errorf("%w: it is paused", ErrHeld)
	case stopped(h.cgroup):
		h.why = fmt.Errorf("%w: somebody inside has stopped the process on its way", ErrHeld)
	}
	if h.why != nil {
		_ = killCgroup(h.cgroup) // it is removed anyway
	}
	h.timer.Reset(heldPause)
}

// end ends the watch and tells why the process was killed; nil if it was not.
func (h *hold) end() error {
	h.timer.Stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done = true
	return h.why
}

// frozen tells whether all processes of a cgroup are frozen, by itself or one above it; see cgroup.events in the kernel's cgroup-v2.rst.
func frozen(cgroup string) bool {
	text, _ := os.ReadFile(filepath.Join(cgroup, "cgroup.events"))
	return bytes.Contains(text, []byte("frozen 1"))
}

// stopped tells whether a process in a cgroup is stopped by a signal.
func stopped(cgroup string) bool {
	for _, pid := range processes(cgroup) {
		if stat, err := process.ReadStat(pid); err == nil && stat.State == "T" {
			return true
		}
	}
	return false
}
