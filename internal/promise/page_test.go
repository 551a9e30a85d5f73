package promise_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/promise"
)

// What is committed is what the tables say now.
func TestFresh(t *testing.T) {
	for name, page := range map[string][]byte{"container.md": promise.Page(), "drift.md": promise.DriftPage()} {
		path := filepath.Join("..", "..", "docs", name)
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, page) {
			t.Errorf("%s is stale (%v): run go generate ./pkg/linux", path, err)
		}
	}
}

// Every table is whole.
func TestRows(t *testing.T) {
	for _, s := range promise.Of(promise.Ideal(), "/root").Sections() {
		if len(s.Rows) == 0 {
			t.Errorf("%s is empty", s.Title)
		}
		for _, row := range s.Rows {
			if len(row) != len(s.Columns) || s.Facts > len(row) || row[0] == "" {
				t.Errorf("%s: %d cells in %d columns: %q", s.Title, len(row), len(s.Columns), row)
			}
		}
	}
}
