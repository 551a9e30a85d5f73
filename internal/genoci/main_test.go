package main

import (
	"os"
	"testing"
)

// The page that is kept is the one that the table makes.
func TestPage(t *testing.T) {
	kept, err := os.ReadFile("../../docs/oci.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != Page() {
		t.Error("docs/oci.md is not what the table makes: go generate ./pkg/linux/oci")
	}
}
