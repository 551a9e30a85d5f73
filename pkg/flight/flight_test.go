package flight_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/flight"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func dump(t *testing.T, r *flight.Recorder, lasts time.Duration) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Dump(t.Context(), &b, lasts); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "go 1.") {
		t.Fatalf("no trace: %.20q", b.String())
	}
	return b.String()
}

// What is to come is recorded where nothing was left on, as often as somebody asks; one at a time.
func TestDump(t *testing.T) {
	var r flight.Recorder
	for range 2 {
		dump(t, &r, time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	began, done := make(chan error), make(chan error, 1)
	go func() { done <- r.Dump(&waited{ctx, began}, new(bytes.Buffer), time.Minute) }()
	<-began // it waits for its minute
	if err := r.Dump(t.Context(), new(bytes.Buffer), 0); !errors.Is(err, spec.ErrBusy) {
		t.Errorf("two at one time: %v", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	dump(t, &r, time.Millisecond)
}

// What was left on gives what was before, at once.
func TestKeep(t *testing.T) {
	var r flight.Recorder
	if err := r.Keep(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		dump(t, &r, 0)
	}
}

// waited is a context that tells when somebody waits for its end.
type waited struct {
	context.Context
	began chan error
}

func (w *waited) Done() <-chan struct{} {
	close(w.began)
	return w.Context.Done()
}
