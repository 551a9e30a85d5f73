package kerneltest

import (
	"errors"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
)

// Criu is a criu that dumps and restores processes here; the test is skipped where none is installed. One that is installed and cannot do it fails the test.
func Criu(t testing.TB) criu.Tool {
	t.Helper()
	Root(t)
	tool, err := criu.Find(t.Context())
	if errors.Is(err, criu.ErrNotFound) {
		t.Skip("skip: needs criu: scripts/criu.sh installs it")
	}
	if err != nil {
		t.Fatal(err)
	}
	return tool
}
