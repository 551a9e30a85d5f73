package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What is committed is what the comments say now.
func TestFresh(t *testing.T) {
	dir := filepath.Join("..", "..", "pkg", "spec")
	for _, stage := range []string{"docs", "pages"} {
		files, err := generate(stage, dir)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range files {
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s is stale (%v): run go generate ./pkg/spec", path, err)
			}
		}
	}
}

// A field without a comment cannot be explained, so it is an error.
func TestUncommented(t *testing.T) {
	dir := t.TempDir()
	source := "package spec\n\n// Container is one.\ntype Container struct {\n\tName string `json:\"name\"`\n}\n"
	if err := os.WriteFile(filepath.Join(dir, "container.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := docTable(dir); err == nil || err.Error() != "a field of Container has no comment of its own" {
		t.Errorf("got %v", err)
	}
}
