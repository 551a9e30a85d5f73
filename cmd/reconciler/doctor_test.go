package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
)

// A keeper that takes a connection and says nothing, as a stopped process does, is not taken for one that does not run.
func TestDoctorOfSilentKeeper(t *testing.T) {
	run := kerneltest.SilentKeeper(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	found := (&app{socket: filepath.Join(run, "reconciler.sock")}).findKeeper(ctx)
	if found.State != stateBroken || !strings.Contains(found.Detail, "does not answer") || !strings.Contains(found.Remedy, "kill -CONT") {
		t.Errorf("got %+v", found)
	}
}
