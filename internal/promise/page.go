package promise

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

// intro is the page above its tables.
//
//go:embed intro.md
var intro []byte

// Page is docs/container.md.
func Page() []byte {
	var b bytes.Buffer
	b.Write(intro)
	for _, s := range Of(Ideal(), "/root").Sections() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", s.Title, s.Text)
		line(&b, s.Columns)
		line(&b, slices.Repeat([]string{"---"}, len(s.Columns)))
		for _, row := range s.Rows {
			cells := slices.Clone(row)
			for i := range s.Facts {
				cells[i] = code(s.Columns[i], cells[i])
			}
			line(&b, cells)
		}
	}
	return b.Bytes()
}

// prose are the columns of facts whose cells are words, not names.
var prose = []string{"what", "verdict", "whose", "is", "kind", "condition", "attribute", "what the container finds", "entry", "the superuser's sets", "another user's sets"}

func code(column, cell string) string {
	if cell == "" || slices.Contains(prose, column) {
		return cell
	}
	return "`" + cell + "`"
}

func line(b *bytes.Buffer, cells []string) {
	for _, cell := range cells {
		fmt.Fprintf(b, "| %s ", strings.ReplaceAll(cell, "|", `\|`))
	}
	b.WriteString("|\n")
}
