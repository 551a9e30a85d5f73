package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

var (
	docWord = regexp.MustCompile("`([^`]+)`")
	// docPath is a word that can only be the path of a field.
	docPath = regexp.MustCompile(`^[a-z][A-Za-z0-9]*(\.[A-Za-z0-9]+)*$`)
)

// TestMoving holds the tables of docs/moving to the keys of what people come from, which testdata/moving lists, and their other column to the fields there are.
func TestMoving(t *testing.T) {
	lists, err := filepath.Glob("testdata/moving/*.txt")
	if err != nil || len(lists) != 3 {
		t.Fatalf("%v, %v", lists, err)
	}
	for _, list := range lists {
		page := strings.TrimSuffix(filepath.Base(list), ".txt")
		keys, err := os.ReadFile(list)
		must(t, err)
		text, err := os.ReadFile("../../docs/moving/" + page + ".md")
		must(t, err)
		said := map[string]bool{}
		for line := range strings.Lines(string(text)) {
			cells := strings.Split(line, "|")
			if len(cells) < 4 || cells[0] != "" {
				continue
			}
			for _, key := range docWord.FindAllStringSubmatch(cells[1], -1) {
				said[key[1]] = true
			}
			for _, path := range docWord.FindAllStringSubmatch(cells[2], -1) {
				if docPath.MatchString(path[1]) && !isField(path[1]) {
					t.Errorf("docs/moving/%s.md: there is no field %s", page, path[1])
				}
			}
		}
		for key := range strings.FieldsSeq(string(keys)) {
			if !said[key] {
				t.Errorf("docs/moving/%s.md says nothing of %s", page, key)
			}
		}
	}
}

// isField tells whether a manifest has a field: its path from the document, or below spec.
func isField(path string) bool {
	return slices.ContainsFunc([]string{spec.KindContainer + ".", spec.KindContainer + ".spec.", spec.KindGroup + ".spec.", spec.KindJob + ".spec."}, func(below string) bool {
		_, ok := spec.Explain(below + path)
		return ok
	})
}
