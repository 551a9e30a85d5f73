package cgroup

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// pressures are the files of pressure, the triggers for them in a manifest, and what hints call them.
var pressures = []struct {
	file string
	kind spec.EventKind
	of   func(spec.Pressure) spec.PressureTrigger
}{
	{"memory.pressure", spec.EventMemoryPressure, func(p spec.Pressure) spec.PressureTrigger { return p.Memory }},
	{"cpu.pressure", spec.EventCPUPressure, func(p spec.Pressure) spec.PressureTrigger { return p.CPU }},
	{"io.pressure", spec.EventIOPressure, func(p spec.Pressure) spec.PressureTrigger { return p.IO }},
}

// SetPressure makes the triggers of a watched group those that p asks for. Every hybrid or v2 host has pressure in the unified hierarchy, if its
// kernel keeps it at all: else the error is errors.ErrUnsupported. A group that is not there is fs.ErrNotExist.
func (w *Watcher) SetPressure(g *Group, p spec.Pressure) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return os.ErrClosed
	}
	if w.pressure[g.path] == p {
		return nil
	}
	for _, s := range w.of(g, rolePressure) {
		w.ignore(s)
	}
	delete(w.pressure, g.path)
	var errs []error
	for _, row := range pressures {
		t, gate := row.of(p), &gate{}
		for _, level := range []struct {
			word      string
			threshold spec.Duration
		}{{"some", t.Some}, {"full", t.Full}} {
			if level.threshold == 0 {
				continue
			}
			window := cmp.Or(t.Window, spec.DefaultPressureWindow)
			err := w.addTrigger(g, row.file, row.kind, gate, trigger{level.word, time.Duration(level.threshold), time.Duration(window)})
			if err != nil {
				errs = append(errs, fmt.Errorf("cannot watch %s of %s: %w", row.file, g, err))
			}
		}
	}
	if errs == nil {
		w.pressure[g.path] = p
	}
	return errors.Join(errs...)
}

// addTrigger opens a file, writes a trigger and waits for it. The caller holds mu.
func (w *Watcher) addTrigger(g *Group, file string, kind spec.EventKind, gate *gate, t trigger) error {
	fd, err := g.parent.unified.descriptor(g.path+"/"+file, unix.O_RDWR|unix.O_NONBLOCK)
	if errors.Is(err, unix.ENOENT) && g.Exists() {
		return fmt.Errorf("pressure is not counted here: %w", errors.ErrUnsupported)
	}
	if err != nil {
		return err
	}
	s := &source{fd: fd, group: g, role: rolePressure}
	s.ready = func(events uint32) []spec.Event {
		if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 { // its group is gone
			w.ignore(s)
			return nil
		}
		if count := gate.pass(time.Now(), t.window); count > 0 {
			return []spec.Event{{Name: g.Name, Kind: kind, Count: count}}
		}
		return nil
	}
	if err = t.write(fd); err == nil {
		_, err = w.listen(s, unix.EPOLLPRI)
	}
	if err != nil {
		_ = unix.Close(fd)
	}
	return err
}

// gate lets one hint pass in each window. The kernel itself raises each trigger once in a window at most (psi.rst, Monitoring for
// pressure thresholds); two triggers of one file come together.
type gate struct {
	last time.Time
	held uint64
}

// pass is how many times a trigger was raised since the last hint, 0 when it is too early for another. Half a window is early: the kernel's
// clock and ours do not beat together.
func (g *gate) pass(now time.Time, window time.Duration) uint64 {
	g.held++
	if now.Sub(g.last) < window/2 {
		return 0
	}
	count := g.held
	g.last, g.held = now, 0
	return count
}

// trigger is what is written to a pressure file: "some 150000 1000000".
type trigger struct {
	word              string
	threshold, window time.Duration
}

func (t trigger) String() string {
	return fmt.Sprintf("%s %d %d", t.word, t.threshold.Microseconds(), t.window.Microseconds())
}

// write sets the trigger of an open file. Without CAP_SYS_RESOURCE the kernel takes only windows of its own averages, from Linux 6.5 on, and
// before none at all: a shorter one is lengthened (kernel/sched/psi.c, psi_trigger_create).
func (t trigger) write(fd int) error {
	_, err := unix.Write(fd, []byte(t.String()))
	if longer := t.lengthened(); errors.Is(err, unix.EINVAL) && longer != t {
		_, err = unix.Write(fd, []byte(longer.String()))
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = fmt.Errorf("pressure is not counted here: %w", errors.ErrUnsupported)
	}
	return err
}

// averages is the window in which the kernel averages pressure anyway.
const averages = 2 * time.Second

// lengthened is the trigger with the next longer window that needs no privilege, and as much more to be lost.
func (t trigger) lengthened() trigger {
	window := (t.window + averages - 1) / averages * averages
	if t.window > 0 {
		t.threshold = time.Duration(t.threshold.Microseconds()*window.Microseconds()/t.window.Microseconds()) * time.Microsecond
	}
	t.window = window
	return t
}
