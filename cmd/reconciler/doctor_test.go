package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A keeper that takes a connection and says nothing, as a stopped process does, is not taken for one that does not run.
func TestDoctorOfSilentKeeper(t *testing.T) {
	run := t.TempDir()
	if err := os.Mkdir(filepath.Join(run, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("unix", filepath.Join(run, "state", "keeper.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	found := (&app{socket: filepath.Join(run, "reconciler.sock")}).findKeeper(ctx)
	if found.State != stateBroken || !strings.Contains(found.Detail, "does not answer") || !strings.Contains(found.Remedy, "kill -CONT") {
		t.Errorf("got %+v", found)
	}
}
