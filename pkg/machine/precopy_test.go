package machine_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Memory that is copied beforehand is part of the image, and where the kernel cannot tell what changes the image is taken without.
func TestPreCopy(t *testing.T) {
	n := open(t)
	c := n.heapContainer("heap", 64)
	c.Spec.Checkpoint.PreCopy = 3
	for round := range 2 {
		var img spec.Image
		if round == 0 {
			img = n.saved(t, c)
		} else {
			var err error
			img, err = n.Checkpoint(t.Context(), "heap", 1, spec.CheckpointOptions{Stop: true})
			must(t, err)
			n.until("the end", func() bool { return n.look("heap").Phase == spec.InstanceExited })
		}
		t.Logf("frozen %v, took %v, %v in all", img.Frozen, img.Took, img.Bytes)
		dir := n.path("state", "checkpoints", "heap", img.ID)
		rounds, err := filepath.Glob(filepath.Join(dir, "pre-*", "pages-*.img"))
		must(t, err)
		parent, _ := os.Readlink(filepath.Join(dir, "checkpoint", "parent"))
		if tracks := softDirty(t); tracks != (len(rounds) > 0) || tracks != (parent != "") {
			t.Errorf("the kernel tracks memory: %v; copied beforehand: %v, parent %q", tracks, rounds, parent)
		}
		last, err := filepath.Glob(filepath.Join(dir, "checkpoint", "pages-*.img"))
		must(t, err)
		left := int64(0)
		for _, file := range last {
			info, err := os.Stat(file)
			must(t, err)
			left += info.Size()
		}
		t.Logf("%d bytes are in the last of %d directories", left, len(rounds)+1)
		if half := int64(32 << 20); len(rounds) > 0 && left > half { // it only reads
			t.Errorf("%d bytes were left for the moment when it stood still", left)
		}
		at := n.count("heap")
		must(t, n.Restore(t.Context(), "heap", 1, img.Ref()))
		n.until("two looks at all of it", func() bool { return n.count("heap") >= at+2 })
	}
}

// softDirty tells whether this kernel marks pages that were written; see bit 55 in its pagemap.rst.
func softDirty(t *testing.T) bool {
	t.Helper()
	page := new([1 << 16]byte)
	page[len(page)/2] = 1
	f, err := os.Open("/proc/self/pagemap")
	must(t, err)
	defer f.Close()
	entry := make([]byte, 8)
	address := uintptr(unsafe.Pointer(&page[len(page)/2]))
	_, err = f.ReadAt(entry, int64(address)/int64(os.Getpagesize())*8)
	must(t, err)
	return binary.LittleEndian.Uint64(entry)&(1<<55) != 0
}

// How much shorter a container stands still that runs on; figures for who reads them.
func TestPreCopyShortens(t *testing.T) {
	n := open(t)
	if !softDirty(t) {
		t.Skip("this kernel does not tell which memory changes")
	}
	for _, rounds := range []int{0, 3, 0, 3} {
		name := fmt.Sprintf("heap-%d", rounds)
		if n.look(name).Phase == "" {
			c := n.heapContainer(name, 128, "idle")
			c.Spec.Checkpoint.PreCopy = rounds
			c.Spec.Checkpoint.MaxPause = spec.Duration(time.Minute)
			n.run(c)
			n.until("a count", func() bool { return n.count(name) >= 3 })
		}
		img, err := n.Checkpoint(t.Context(), name, 1, spec.CheckpointOptions{})
		must(t, err)
		t.Logf("copied beforehand at most %d times: frozen %v, took %v", rounds, img.Frozen, img.Took)
	}
}
