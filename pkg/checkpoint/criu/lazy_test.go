package criu_test

import (
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
)

// A process runs before its memory is there; who feeds it ends when all of it is.
func TestMemoryFollows(t *testing.T) {
	tool := kerneltest.Criu(t, criu.Lazy).Tool
	privately(t)
	dir, images, work := t.TempDir(), criu.OpenTempDir(t), criu.OpenTempDir(t)
	pid := begin(t, dir, "memory")
	before := number(t, dir, pid)
	if err := talk(t, tool).Dump(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: images, Pid: pid}, criu.Notify{}); err != nil {
		t.Fatal(err)
	}
	finish(pid)

	status, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer status.Close()
	args := tool.LazyCommand(3, 4, 5)
	feeder := exec.Command(args[0], args[1:]...)
	feeder.Env, feeder.ExtraFiles = criu.Environ(), []*os.File{images, work, theirs}
	err = feeder.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer feeder.Process.Kill()
	if _, err := io.ReadFull(status, make([]byte, 1)); err != nil {
		t.Fatalf("who feeds is not ready: %v", err)
	}
	if _, err := talk(t, tool).Restore(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: images, WorkDir: work, LazyPages: true, SiblingOfCaller: true}, criu.Notify{}); err != nil {
		t.Fatal(err)
	}
	if after := number(t, dir, pid); after < before {
		t.Errorf("it has counted to %d, and then to %d", before, after)
	}
	if err := feeder.Wait(); err != nil {
		log, _ := os.ReadFile(work.Name() + "/" + criu.LazyLog)
		t.Errorf("who feeds: %v\n%s", err, log)
	}
	if after := number(t, dir, pid); after < before { // which looks at all of the memory
		t.Errorf("with all memory there, it has counted to %d, and then to %d", before, after)
	}
	finish(pid)
}
