package linux_test

import (
	"os"
	"strings"
	"testing"
)

// The README's lines of Go are those of a function that is compiled, and run by an example.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	must(t, err)
	source, err := os.ReadFile("example_readme_test.go")
	must(t, err)
	_, rest, shown := strings.Cut(string(readme), "```go\n")
	snippet, _, ended := strings.Cut(rest, "```\n")
	if !shown || !ended || !strings.Contains(string(source), "\n"+snippet+"\n//") {
		t.Errorf("README.md shows this, which example_readme_test.go has not:\n%s", snippet)
	}
}
