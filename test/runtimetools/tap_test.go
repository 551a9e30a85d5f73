package runtimetools

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// verdicts are the lines of a program's output, by what they are about: true is ok. Lines that are skipped or to be done are none.
type verdicts map[string]bool

// A line of the Test Anything Protocol, version 13. What is indented belongs to the line above it.
var tapLine = regexp.MustCompile(`^(not )?ok(?: [0-9]+)?(?: (?:- )?(.*?))?(?: *# *((?i:skip|todo)).*)?$`)

// readTAP reads an output. The same words said again count as another line: `words (2)`.
func readTAP(text string) verdicts {
	v, times := verdicts{}, map[string]int{}
	for line := range strings.Lines(text) {
		m := tapLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil || m[3] != "" {
			continue
		}
		about := m[2]
		if times[about]++; times[about] > 1 {
			about += fmt.Sprintf(" (%d)", times[about])
		}
		v[about] = m[1] == ""
	}
	return v
}

func TestReadTAP(t *testing.T) {
	got := readTAP("TAP version 13\nok 1 - a\n  ---\n  ok 7 - within\n  ...\nnot ok 2 - b\nok 3 - a\nok 4 # SKIP because\nnot ok 5 # TODO later\nok 6 plain\n1..6\n")
	want := verdicts{"a": true, "b": false, "a (2)": true, "plain": true}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
