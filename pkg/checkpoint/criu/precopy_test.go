package criu_test

import (
	"path/filepath"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
)

// Memory that was copied before is not copied again, and is there after a restore.
func TestPreCopy(t *testing.T) {
	tool := kerneltest.Criu(t, criu.PreCopy).Tool
	privately(t)
	dir, first, second := t.TempDir(), criu.OpenTempDir(t), criu.OpenTempDir(t)
	pid := begin(t, dir, "memory")
	if err := talk(t, tool).PreDump(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: first, Pid: pid}, criu.Notify{}); err != nil {
		t.Fatal(err)
	}
	before := number(t, dir, pid)
	o := criu.Options{NetworkLock: criu.NoLock, ImagesDir: second, Parent: "../" + filepath.Base(first.Name()), TrackMemory: true, Pid: pid}
	if err := talk(t, tool).Dump(t.Context(), o, criu.Notify{}); err != nil {
		t.Fatal(err)
	}
	finish(pid)
	stats, err := criu.ReadDumpStats(second)
	if err != nil || stats.Skipped < 4<<20 {
		t.Errorf("ReadDumpStats: %+v, %v", stats, err)
	}
	if _, err := talk(t, tool).Restore(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: second, SiblingOfCaller: true}, criu.Notify{}); err != nil {
		t.Fatal(err)
	}
	if after := number(t, dir, pid); after < before {
		t.Errorf("it has counted to %d, and then to %d", before, after)
	}
	finish(pid)
}
