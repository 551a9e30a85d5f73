package simnode_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFieldBugs holds the table of bugs to the stories, scripts and tests that it names.
func TestFieldBugs(t *testing.T) { holdTable(t, "docs/field-bugs.md", "bug", 20) }

// TestComplaints holds the table of what users of others complain about to the same.
func TestComplaints(t *testing.T) { holdTable(t, "docs/convergence.md", "complaint", 19) }

// holdTable looks for what the last column of a page's table names. The first row begins with a word.
func holdTable(t *testing.T, page, first string, atLeast int) {
	root := "../.."
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.HasPrefix(cells[1], "---") || strings.TrimSpace(cells[1]) == first {
			continue
		}
		rows++
		for where := range strings.SplitSeq(cells[len(cells)-2], ",") {
			if why := missing(root, strings.TrimSpace(where)); why != "" {
				t.Errorf("%s: %s", strings.TrimSpace(cells[1]), why)
			}
		}
	}
	if rows < atLeast {
		t.Errorf("%d rows", rows)
	}
}

var testOf = regexp.MustCompile(`^test (Test\w+) in ([\w/]+)$`)

// missing says what of a reproduction is not there.
func missing(root, where string) string {
	kind, name, _ := strings.Cut(where, " ")
	path := map[string]string{"story": "pkg/reconcile/testdata/" + name + ".txtar", "script": "internal/simnode/testdata/" + name + ".script"}[kind]
	switch m := testOf.FindStringSubmatch(where); {
	case path != "":
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			return err.Error()
		}
		return ""
	case m != nil:
		files, _ := filepath.Glob(filepath.Join(root, m[2], "*_test.go"))
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), "\nfunc "+m[1]+"(") {
				return ""
			}
		}
		return "no " + m[1] + " in " + m[2]
	}
	return "no story, script or test: " + where
}
