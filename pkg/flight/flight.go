// Package flight gives the execution trace of this program on demand, as `go tool trace` reads it: of the moments before, if a recorder was left on, or of those to
// come. It refuses to know who asks, and what the program does.
package flight

import (
	"context"
	"fmt"
	"io"
	"runtime/trace"
	"sync"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// What a trace is bounded by: an agent at work writes about a megabyte in some seconds.
const (
	ringBytes = 4 << 20
	ringAge   = 10 * time.Second
	// Default is how long is recorded when nobody says, and Longest how long at most.
	Default = 5 * time.Second
	Longest = time.Minute
)

// Recorder gives traces. The zero value has nothing to give but what is still to come.
type Recorder struct {
	dumping sync.Mutex
	ring    *trace.FlightRecorder // nil when none was left on
}

// Keep begins to record, until the program ends: the newest moments are kept.
func (r *Recorder) Keep() error {
	ring := newRing()
	if err := ring.Start(); err != nil {
		return fmt.Errorf("cannot keep a flight recorder on: %w", err)
	}
	r.ring = ring
	return nil
}

func newRing() *trace.FlightRecorder {
	return trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: ringAge, MaxBytes: ringBytes})
}

// Dump writes a trace: of the latest moments where a recorder is on, and of those to come for as long as is said, or for Default where none is on and nothing is
// said. One is written at a time: spec.ErrBusy.
func (r *Recorder) Dump(ctx context.Context, w io.Writer, lasts time.Duration) (err error) {
	if !r.dumping.TryLock() {
		return fmt.Errorf("another trace is being taken: %w", spec.ErrBusy)
	}
	defer r.dumping.Unlock()
	ring := r.ring
	if ring == nil {
		if lasts == 0 {
			lasts = Default
		}
		ring = newRing()
		if err := ring.Start(); err != nil {
			return fmt.Errorf("cannot record: %w", err)
		}
		defer ring.Stop()
	}
	timer := time.NewTimer(min(lasts, Longest))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if _, err := ring.WriteTo(w); err != nil {
		return fmt.Errorf("cannot write the trace: %w", err)
	}
	return nil
}
