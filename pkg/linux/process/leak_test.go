package process_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// noLeaks checks at the end of a test that it leaves neither descriptors nor children behind.
func noLeaks(t *testing.T) {
	t.Helper()
	before := descriptors(t)
	t.Cleanup(func() {
		after := descriptors(t)
		maps.DeleteFunc(after, func(fd, target string) bool { return before[fd] == target })
		if len(after) > 0 {
			t.Errorf("descriptors left: %v", after)
		}
		if pids := children(t); len(pids) > 0 {
			t.Errorf("children left: %v", pids)
		}
	})
}

// descriptors are this process's open files, except those of the Go runtime's poller.
func descriptors(t *testing.T) map[string]string {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err == nil && !strings.HasPrefix(target, "anon_inode:[event") {
			found[filepath.Base(link)] = target
		}
	}
	return found
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

// makeCgroup makes a cgroup below root for the time of the test.
func makeCgroup(t *testing.T, root string) string {
	t.Helper()
	dir := filepath.Join(root, fmt.Sprintf("reconciler-test-process-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("cgroup left: %v", err)
		}
	})
	return dir
}
