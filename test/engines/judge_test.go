package engines

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// judge says what is wrong: whatever this runtime does not do, what no other does either, and what looks different.
func judge(stages []stage, stories []*story) (wrong []string) {
	last := len(stories) - 1
	ours, others := stories[last], stories[:last]
	for _, p := range ours.problems {
		wrong = append(wrong, "with this runtime: "+p)
	}
	if !slices.ContainsFunc(others, func(s *story) bool { return len(s.problems) == 0 }) {
		wrong = append(wrong, "no other runtime does this: the test is wrong, or needs a probe")
		for i, other := range others {
			for _, p := range other.problems {
				wrong = append(wrong, fmt.Sprintf("with %s: %s", stages[i].name, p))
			}
		}
	}
	return append(wrong, compare(ours, others)...)
}

// compare holds each sight of this runtime to the others': it has the lines that they all have, and none that no other has.
func compare(ours *story, others []*story) (wrong []string) {
	for i, sight := range ours.seen {
		var shown []map[string]int
		for _, other := range others {
			if i < len(other.seen) { // else its problems are told
				shown = append(shown, count(other.seen[i].text))
			}
		}
		if diff := differences(count(sight.text), shown); len(diff) > 0 {
			wrong = append(wrong, fmt.Sprintf("%s (- all others, + only this runtime):\n%s", sight.what, strings.Join(diff, "\n")))
		}
	}
	return wrong
}

// differences are the lines that are there more often than in any of others, and less often than in all of them.
func differences(lines map[string]int, others []map[string]int) (diff []string) {
	if len(others) == 0 {
		return nil
	}
	all := maps.Clone(lines)
	for _, other := range others {
		maps.Copy(all, other)
	}
	for line := range all {
		least, most := others[0][line], others[0][line]
		for _, other := range others {
			least, most = min(least, other[line]), max(most, other[line])
		}
		switch n := lines[line]; {
		case n > most:
			diff = append(diff, "+ "+line)
		case n < least:
			diff = append(diff, "- "+line)
		}
	}
	slices.SortFunc(diff, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
	return diff
}

// count counts the lines of a text.
func count(text string) map[string]int {
	lines := map[string]int{}
	for line := range strings.SplitSeq(text, "\n") {
		lines[strings.TrimRight(line, " ")]++
	}
	return lines
}

// The comparison of sights finds what is missing and what is added, and lets others differ among themselves.
func TestDifferences(t *testing.T) {
	for _, row := range []struct {
		ours   string
		others []string
		want   string
	}{
		{"a\nb", []string{"a\nb"}, ""},
		{"a\nc", []string{"a\nb", "a\nc"}, ""},
		{"a\nb", []string{"a\nc", "a\nb\nc"}, "- c"},
		{"a\na", []string{"a", "a\nb"}, "+ a"},
		{"", []string{"a"}, "+ |- a"},
		{"a", nil, ""},
	} {
		var others []map[string]int
		for _, text := range row.others {
			others = append(others, count(text))
		}
		if got := strings.Join(differences(count(row.ours), others), "|"); got != row.want {
			t.Errorf("%q beside %q: %q, want %q", row.ours, row.others, got, row.want)
		}
	}
}
