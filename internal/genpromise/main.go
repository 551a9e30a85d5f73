// Command genpromise writes docs/container.md. It runs in pkg/linux, by go generate.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed31d4122e/reconciler/internal/promise"
)

func main() {
	if err := os.WriteFile(filepath.Join("..", "..", "docs", "container.md"), promise.Page(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "genpromise:", err)
		os.Exit(1)
	}
}
