package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// docVerb is a call of the program in the middle of a sentence or a table.
var docVerb = regexp.MustCompile("`reconciler ([a-z][^`]*)`")

// TestDocVerbs holds what pages say in passing, `reconciler VERB --flag`, and the examples of the verbs themselves, to the verbs and flags there are. Whole
// commands are run by TestDocs.
func TestDocVerbs(t *testing.T) {
	seen := 0
	check := func(where, call string) {
		if strings.HasPrefix(call, "oci") { // which has a command line of its own
			return
		}
		seen++
		if err := isCall(strings.Fields(call)); err != nil {
			t.Errorf("%s: `reconciler %s`: %v", where, call, err)
		}
	}
	for _, page := range docPages(t) {
		text, err := os.ReadFile("../../" + page.path)
		must(t, err)
		for _, found := range docVerb.FindAllStringSubmatch(docFence.ReplaceAllString(string(text), ""), -1) {
			check(page.path, found[1])
		}
	}
	ends := regexp.MustCompile(` +(\||#|>|&&|\$).*`)
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			if call, ok := strings.CutPrefix(strings.TrimSpace(line), "reconciler "); ok {
				check(cmd.CommandPath()+" --help", ends.ReplaceAllString(call, ""))
			}
		}
		for _, below := range cmd.Commands() {
			visit(below)
		}
	}
	visit(allVerbs())
	if seen < 150 {
		t.Errorf("only %d calls", seen)
	}
}

func allVerbs() *cobra.Command {
	root := newRoot(&app{out: newScreen(io.Discard), err: newScreen(io.Discard)})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// isCall says what of a verb and its flags there is not. What comes after a verb's name of a container may be the command of somebody else.
func isCall(words []string) error {
	root := allVerbs()
	cmd, rest, err := root.Find(words)
	if err != nil || cmd == root {
		return fmt.Errorf("there is no such verb")
	}
	cmd.InitDefaultHelpFlag()
	for _, word := range rest {
		name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
		switch {
		case word == "--", cmd.Name() == "exec" && !strings.HasPrefix(word, "-"):
			return nil
		case !strings.HasPrefix(word, "-") || word == "-":
		case strings.HasPrefix(word, "--") && cmd.Flag(name) == nil, !strings.HasPrefix(word, "--") && cmd.Flags().ShorthandLookup(name[:1]) == nil:
			return fmt.Errorf("there is no flag %s", word)
		}
	}
	return nil
}

// TestShows holds the comparison of TestDocs to what it must let pass and what not.
func TestShows(t *testing.T) {
	for _, c := range []struct {
		page, output string
		same         bool
	}{
		{"web  Running  0  27s", "web     Running  0  1m3s\n", true},
		{"web  Running  0  27s", "web  Running  1  27s\n", false},
		{"web  Running  0  27s", "web  Running  0\n", false},
		{"hello", "hello\nworld\n", false},
		{"hello\n...", "hello\nworld\n", true},
		{"...\nworld", "hello\nworld\n", true},
		{"...\nworld", "hello\nworlds\n", false},
		{"say ... to it", "say no thing to it\n", true},
		{"process 3313, 64Mi", "process 4242, 64Mi\n", true},
		{"process 3313, 64Mi", "process 4242, 128Mi\n", false},
		{"at 2026-11-27T08:26:06.114Z", "at 2027-01-01T00:00:00Z\n", true},
		{"web/20261126-203315123: 12.0Mi", "web/20271126-203315124: 158Ki\n", true},
		{"port 80", "port 81\n", false},
		{"a.b", "axb\n", false},
	} {
		if got := shows(strings.Split(c.page, "\n"), c.output); got != c.same {
			t.Errorf("%q shows %q: %t", c.page, c.output, got)
		}
	}
}
