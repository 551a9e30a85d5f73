package process_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// A file is read whole, however long it is, and one after the other is not mixed up with it.
func TestRead(t *testing.T) {
	for range 64 { // mappings enough for a file of many pages: how many the runtime makes differs by kernel
		held, err := unix.Mmap(-1, 0, 2*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(held)
		if err := unix.Mprotect(held[:os.Getpagesize()], unix.PROT_READ); err != nil { // in two, or neighbours become one
			t.Fatal(err)
		}
	}
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
