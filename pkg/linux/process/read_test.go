package process_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// A file is read whole, however long it is, and one after the other is not mixed up with it.
func TestRead(t *testing.T) {
	long, err := process.Read(os.Getpid(), "smaps")
	if err != nil {
		t.Fatal(err)
	}
	if last := long[strings.LastIndexByte(strings.TrimSpace(long), '\n')+1:]; len(long) < 20<<10 || !strings.HasPrefix(last, "VmFlags:") || !strings.HasSuffix(last, "\n") {
		t.Errorf("%d bytes of smaps, the last %q", len(long), last)
	}
	short, err := process.Read(os.Getpid(), "comm")
	want, _ := os.ReadFile("/proc/self/comm")
	if short != string(want) || err != nil {
		t.Errorf("comm is %q, %v; want %q", short, err, want)
	}
	if _, err := process.Read(1<<22+1, "comm"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no process: %v", err)
	}
}
