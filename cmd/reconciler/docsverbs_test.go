package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
)

// docVerb is a call of the program in the middle of a sentence or a table.
var docVerb = regexp.MustCompile("`reconciler ([a-z][^`]*)`")

// TestDocVerbs holds what pages say in passing, `reconciler VERB --flag`, to the verbs and flags there are. Whole commands are run by TestDocs.
func TestDocVerbs(t *testing.T) {
	seen := 0
	for _, page := range docPages(t) {
		text, err := os.ReadFile("../../" + page.path)
		must(t, err)
		for _, found := range docVerb.FindAllStringSubmatch(docFence.ReplaceAllString(string(text), ""), -1) {
			words := strings.Fields(found[1])
			if words[0] == "oci" || words[0] == "keeper" {
				continue
			}
			seen++
			root := newRoot(&app{out: newScreen(io.Discard), err: newScreen(io.Discard)})
			root.InitDefaultHelpCmd()
			root.InitDefaultCompletionCmd()
			cmd, _, err := root.Find(words)
			if err != nil || cmd == root {
				t.Errorf("%s: `reconciler %s`: there is no such verb", page.path, found[1])
				continue
			}
			cmd.InitDefaultHelpFlag()
			for _, word := range words[1:] {
				name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
				switch {
				case !strings.HasPrefix(word, "-") || word == "-" || word == "--":
				case strings.HasPrefix(word, "--") && cmd.Flag(name) == nil, !strings.HasPrefix(word, "--") && cmd.Flags().ShorthandLookup(name[:1]) == nil:
					t.Errorf("%s: `reconciler %s`: there is no flag %s", page.path, found[1], word)
				}
			}
		}
	}
	if seen < 80 {
		t.Errorf("only %d calls", seen)
	}
}
