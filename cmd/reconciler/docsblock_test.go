package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docPage is a page of the documentation: what its marks, which are HTML comments, make of its fenced blocks. See HACKING.md, "Add a page".
type docPage struct {
	path        string // from the top of the repository
	environment string // "" when nothing of it is run
	blocks      []docBlock
}

// docBlock is a fenced block.
type docBlock struct {
	line   int      // of its first line
	info   string   // the word after the fence: console, sh, yaml...
	mark   string   // of the comment above: "run: not: REASON", "run: guest: REASON", "run: beside", "file: PATH", or a hidden "first"
	lines  []string // as they stand, without the indentation of the fence
	hidden bool     // it is a comment itself
}

// docCommand is a command and the output that the page shows for it.
type docCommand struct {
	line   int
	text   string
	output []string
}

const docFirst = "run: first"

// docPages are README.md and all of docs/.
func docPages(t *testing.T) (pages []docPage) {
	t.Helper()
	paths := []string{"README.md"}
	err := filepath.WalkDir("../../docs", func(path string, entry os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			paths = append(paths, strings.TrimPrefix(path, "../../"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile("../../" + path)
		if err != nil {
			t.Fatal(err)
		}
		page, err := readDoc(path, string(text))
		if err != nil {
			t.Error(err)
		}
		pages = append(pages, page)
	}
	return pages
}

// readDoc finds the blocks of a page.
func readDoc(path, text string) (docPage, error) {
	page := docPage{path: path}
	var block *docBlock
	mark, fence := "", ""
	for i, line := range strings.Split(text, "\n") {
		bare := strings.TrimSpace(line)
		switch {
		case block != nil && bare == fence:
			page.blocks = append(page.blocks, *block)
			block, fence = nil, ""
		case block != nil:
			block.lines = append(block.lines, line)
		case strings.HasPrefix(bare, "```"):
			block, fence = &docBlock{line: i + 2, info: strings.TrimPrefix(bare, "```"), mark: mark}, "```"
			mark = ""
		case bare == "<!-- "+docFirst:
			block, fence = &docBlock{line: i + 2, info: "sh", mark: docFirst, hidden: true}, "-->"
		case strings.HasPrefix(bare, "<!-- environment: "):
			page.environment = strings.TrimSuffix(strings.TrimPrefix(bare, "<!-- environment: "), " -->")
		case strings.HasPrefix(bare, "<!-- run: "), strings.HasPrefix(bare, "<!-- file: "):
			mark = strings.TrimSuffix(strings.TrimPrefix(bare, "<!-- "), " -->")
		case mark != "" && bare != "":
			return page, fmt.Errorf("%s:%d: no block follows the mark %q", path, i+1, mark)
		case strings.HasPrefix(line, "    $ "):
			return page, fmt.Errorf("%s:%d: a command stands in no fenced block, so that nothing runs it", path, i+1)
		}
	}
	if block != nil {
		return page, fmt.Errorf("%s:%d: the block has no end", path, block.line)
	}
	return page, nil
}

// runs tells whether the block has commands.
func (b docBlock) runs() bool { return b.info == "console" || b.info == "sh" }

// left is the reason for which the block is not run here.
func (b docBlock) left() (reason string, ok bool) {
	for _, prefix := range []string{"run: not: ", "run: guest: "} {
		if reason, ok = strings.CutPrefix(b.mark, prefix); ok {
			return reason, true
		}
	}
	return "", false
}

// heredoc finds the word that ends a command's further lines.
var heredoc = regexp.MustCompile(`<<-?\s*['"]?(\w+)['"]?`)

// commands are those of a block: of a console what follows "$ ", with the lines of a here document and after a backslash; of sh all as one.
func (b docBlock) commands() (list []docCommand) {
	if b.info == "sh" {
		return []docCommand{{line: b.line, text: strings.Join(b.lines, "\n")}}
	}
	until, open := "", false
	for i, line := range b.lines {
		text, begins := strings.CutPrefix(line, "$ ")
		switch {
		case open:
			last := &list[len(list)-1]
			last.text += "\n" + line
			if until == "" {
				open = strings.HasSuffix(line, `\`)
			} else if open = line != until; !open {
				until = ""
			}
			continue
		case begins:
			list = append(list, docCommand{line: b.line + i, text: text})
		case len(list) > 0:
			last := &list[len(list)-1]
			last.output = append(last.output, line)
			continue
		}
		if word := heredoc.FindStringSubmatch(text); word != nil {
			until, open = word[1], true
		} else {
			open = strings.HasSuffix(text, `\`)
		}
	}
	return list
}

// volatile are the rules by which values that differ from run to run are made equal, in the page and in what a command says.
var volatile = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d\b`), "DATE"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d(\.\d+)?Z?\b`), "TIME"},
	{regexp.MustCompile(`\b\d{8}-\d{9}\b`), "IMAGE"},
	{regexp.MustCompile(`\b(\d+(\.\d+)?(ns|µs|ms|s|m|h|d))+\b`), "DURATION"},
	{regexp.MustCompile(`\b(\d+\.\d+ ?([KMG]i)?B?|\d+Ki)\b`), "AMOUNT"},
	{regexp.MustCompile(`\b[0-9a-f]{12,64}\b`), "HASH"},
	{regexp.MustCompile(`(^|[\s"(:,])\d{4,7}($|[\s",)\]])`), "${1}PID${2}"},
	{regexp.MustCompile(`(^|[\s"(:,])\d{4,7}($|[\s",)\]])`), "${1}PID${2}"}, // of two beside each other the second
	{regexp.MustCompile(`[ \t]+`), " "},
	{regexp.MustCompile(`(?m) $`), ""},
}

// settled is a text without what differs from run to run.
func settled(text string) string {
	for _, rule := range volatile {
		text = rule.what.ReplaceAllString(text, rule.as)
	}
	return strings.Trim(text, "\n")
}

// proven is the event of a manifest that has proven itself, which comes when the machine is slow enough for ten seconds to go by.
var proven = regexp.MustCompile(`(?m)^.*RolloutHealthy.*\n?`)

// shows tells whether an output is what a page shows: a line of ... stands for any lines, ... in a line for any text. That a manifest has proven itself
// may be left out.
func shows(page []string, output string) bool {
	if !slices.ContainsFunc(page, proven.MatchString) {
		output = proven.ReplaceAllString(output, "")
	}
	var want strings.Builder
	want.WriteString("^")
	for _, line := range page {
		if strings.TrimSpace(line) == "..." {
			want.WriteString(`(?:.*\n)*`)
			continue
		}
		parts := strings.Split(strings.TrimSpace(settled(line)), "...")
		for i, part := range parts {
			parts[i] = regexp.QuoteMeta(part)
		}
		want.WriteString(" ?" + strings.Join(parts, ".*") + `\n`)
	}
	return regexp.MustCompile(want.String() + "$").MatchString(settled(output) + "\n")
}
