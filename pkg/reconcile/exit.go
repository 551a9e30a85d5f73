package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// requestedReasons are the reasons of exits that the agent itself asked for.
var requestedReasons = []string{spec.ExitStopped, spec.ExitStopTimeout, spec.ExitStopSignalUnhandled, spec.ExitCheckpointed}

func requested(e spec.Exit) bool { return slices.Contains(requestedReasons, e.Reason) }

// exitOf is how the latest run of an ended instance ended; at the latest now.
func exitOf(in spec.Instance, now time.Time) spec.Exit {
	exit := spec.Exit{Code: -1, Reason: spec.ExitUnknown, StartedAt: in.StartedAt}
	if in.Exit != nil {
		exit = *in.Exit
	}
	if exit.FinishedAt.IsZero() {
		exit.FinishedAt = now
	}
	return exit
}

// exitText says for people how a process ended.
func exitText(e spec.Exit) string {
	switch {
	case e.Reason == spec.ExitUnknown:
		return "process ended, nobody saw how"
	case e.Reason == spec.ExitCheckpointed:
		return "its processes went into an image"
	case e.Reason == spec.ExitMemoryLost:
		return "its memory could not follow from its image"
	case e.Reason == spec.ExitUnhealthy:
		return "process was stopped because it was unhealthy"
	case e.Reason == spec.ExitOOMKilled:
		return "process was killed for want of memory"
	case e.Signal != "":
		return "process was ended by " + e.Signal
	}
	return fmt.Sprintf("process exited with code %d", e.Code)
}

// exit is how an ended instance did, as it was noted: with a time even when nobody saw it.
func (w *world) exit(in spec.Instance) spec.Exit {
	if runs := w.Record.Runs; runs.Instance == in.ID && runs.Exited && w.Record.LastExit != nil {
		return *w.Record.LastExit
	}
	return exitOf(in, w.now)
}
