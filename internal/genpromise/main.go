// Command genpromise writes docs/container.md and docs/drift.md. It runs in pkg/linux, by go generate.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed31d4122e/reconciler/internal/promise"
)

func main() {
	for name, page := range map[string][]byte{"container.md": promise.Page(), "drift.md": promise.DriftPage()} {
		if err := os.WriteFile(filepath.Join("..", "..", "docs", name), page, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "genpromise:", err)
			os.Exit(1)
		}
	}
}
