package criu

import (
	"os"
	"testing"
)

// OpenTempDir opens a directory for options, or an image.
func OpenTempDir(t *testing.T) *os.File {
	t.Helper()
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}
