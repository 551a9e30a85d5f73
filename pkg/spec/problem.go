package spec

import (
	"cmp"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Problem is one thing that is wrong with a manifest, at the place where it is wrong.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line"`   // from 1; 0 of a value that is in no file
	Column int    `json:"column"` // from 1, in characters
	// Path is the key, such as spec.mounts[0].source; "" when the text itself is wrong.
	Path string `json:"path,omitzero"`
	// Name is the container's, when the document has a readable one; of a config, with its Kind.
	Name    string `json:"name,omitzero"`
	Kind    string `json:"kind,omitzero"`
	Message string `json:"message"`
	// Reason is one stable word for why it is refused though it could be read: DuplicateName, DependencyCycle, PolicyDenied, SignatureInvalid; "" for all that is
	// wrong in itself.
	Reason string `json:"reason,omitzero"`
	// Hint is one action that helps, if there is one.
	Hint string `json:"hint,omitzero"`
}

// Error is `FILE:LINE:COLUMN: PATH: MESSAGE`, without what is not known, on one line whatever the file is called, and the hint on a line of its own.
func (p Problem) Error() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "%s:%d:%d: ", strings.ReplaceAll(p.File, "\n", `\n`), p.Line, p.Column)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("\nhint: " + p.Hint)
	}
	return b.String()
}

// Problems are all problems of a file, in file order.
type Problems []Problem

// Error is every problem on lines of its own.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Err is the problems as an error, nil when there are none.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// sort puts problems into file order, keeping the order of those at one place.
func (ps Problems) sort() {
	sort.SliceStable(ps, func(i, j int) bool {
		return cmp.Or(cmp.Compare(ps[i].Line, ps[j].Line), cmp.Compare(ps[i].Column, ps[j].Column)) < 0
	})
}

// quotedLength bounds how much of a hostile value a message repeats, in bytes.
const quotedLength = 60

// quote is s in quotes with everything unprintable escaped, shortened when long.
func quote(s string) string { return strconv.Quote(shorten(s)) }

// quoteBare is s as quote has it, without the quotes.
func quoteBare(s string) string {
	q := quote(s)
	return q[1 : len(q)-1]
}

func shorten(s string) string {
	if len(s) <= quotedLength {
		return s
	}
	end := quotedLength
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}
