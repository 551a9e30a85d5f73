package spec_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// FuzzDecode holds Decode to its laws: it never panics, problems lie within the file and in order and can be shown on a terminal, and what is
// accepted has a canonical form that reads back as the same container.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"typical.yaml", "full.yaml"} {
		f.Add([]byte(readFile(f, name)))
	}
	paths, err := filepath.Glob("testdata/broken/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		_, sections := readSections(f, path)
		for _, s := range sections {
			if kind := filepath.Ext(s.name); kind != ".want" {
				f.Add(manifest(f, kind, s.text))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		documents, problems := spec.Decode("m", data)
		if len(documents) == 0 && len(problems) == 0 {
			t.Error("neither a document nor a problem")
		}
		for _, p := range problems {
			checkProblem(t, data, p)
		}
		if !slices.IsSortedFunc(problems, func(a, b spec.Problem) int { return a.Line - b.Line }) {
			t.Errorf("problems out of order: %v", problems)
		}
		for _, d := range documents {
			checkDocument(t, d)
		}
	})
}

func checkProblem(t *testing.T, data []byte, p spec.Problem) {
	t.Helper()
	lines := bytes.Split(data, []byte("\n"))
	if p.Line < 1 || p.Line > len(lines) {
		t.Fatalf("line %d of %d: %v", p.Line, len(lines), p)
	}
	if columns := utf8.RuneCount(lines[p.Line-1]) + 1; p.Column < 1 || p.Column > columns {
		t.Errorf("column %d of %d: %v", p.Column, columns, p)
	}
	for _, text := range []string{p.Path, p.Message, p.Hint} {
		if len(text) > 1000 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("cannot be shown: %q", text)
		}
	}
	if p.Message == "" || strings.Contains(p.Message, "cannot be decoded") {
		t.Errorf("the tree found nothing where the decoder did: %v", p)
	}
}

func checkDocument(t *testing.T, d spec.Document) {
	t.Helper()
	canonical := spec.Canonical(d.Container)
	again, problems := spec.Decode("canonical", canonical)
	if problems != nil {
		t.Fatalf("%v\n%s", problems, canonical)
	}
	if got := spec.Canonical(again[0].Container); !bytes.Equal(got, canonical) {
		t.Errorf("canonical form changes from\n%s\nto\n%s", canonical, got)
	}
	if changes := spec.Diff(d.Container, again[0].Container); len(changes) > 0 {
		t.Errorf("reads back with changes %v", changes)
	}
	if spec.Identity(d.Container, 1) != spec.Identity(again[0].Container, 1) {
		t.Errorf("identity changes:\n%s", canonical)
	}
}
