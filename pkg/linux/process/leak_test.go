package process_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

// noLeaks skips a test that lacks root, and checks that it leaves neither descriptors nor children behind.
func noLeaks(t *testing.T) {
	t.Helper()
	kerneltest.Root(t)
	kerneltest.NoLeaks(t, kerneltest.Scope{Pids: []int{0}})
	t.Cleanup(func() {
		if pids := children(t); len(pids) > 0 {
			t.Errorf("children left: %v", pids)
		}
	})
}

// children are the pids of this process's children, zombies too.
func children(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			pids = slices.Concat(pids, strings.Fields(string(text)))
		}
	}
	return pids
}
