package linux

import (
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A reader that does not read finds, after what it missed nothing of, that it missed something; whenever it stops and reads again.
func TestOffer(t *testing.T) {
	exit, lost := spec.Event{Name: "web", Kind: spec.EventExit}, spec.Event{Kind: spec.EventLost}
	events := make(chan spec.Event, 4)
	for range 2 {
		for range 10 {
			offer(events, exit)
		}
		for _, want := range []spec.Event{exit, exit, exit, lost} {
			if got := <-events; got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		if len(events) > 0 {
			t.Errorf("%d hints too many", len(events))
		}
	}
}
