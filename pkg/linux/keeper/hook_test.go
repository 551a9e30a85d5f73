package keeper_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
)

// A program that does not know how to be a keeper is not started as one: it would do its own work a second time.
func TestUnhooked(t *testing.T) {
	defer keeper.Unhook()()
	dir := t.TempDir()
	_, err := keeper.Ensure(t.Context(), keeper.Config{RunDir: dir})
	if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "\nhint: call keeper.Hook first in main") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
