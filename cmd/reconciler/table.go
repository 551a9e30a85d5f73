package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// cell is one field of a table.
type cell struct {
	text   string
	colour colour
	end    bool // the end counts: a path is cut in front
}

// table is rows below a header, drawn as wide as needed, on a terminal no wider than that.
type table struct {
	header []string
	rows   [][]cell
	indent string
	bare   bool  // without the header
	widths []int // of the columns so far; a watch goes on with them
}

// Columns are apart by this much, and are not cut below that much.
const (
	columnGap = 2
	minColumn = 8
)

func newTable(header ...string) *table { return &table{header: header} }

// add appends a row; texts are made safe for terminals.
func (t *table) add(cells ...cell) {
	for i := range cells {
		cells[i].text = cleanLine(cells[i].text)
	}
	t.rows = append(t.rows, cells)
}

// drawable tells whether there are rows to draw.
func (t *table) drawable() bool { return len(t.rows) > 0 }

// draw writes header and rows, and forgets the rows. Drawn again it leaves the header out, and columns only grow.
func (t *table) draw(s *screen) {
	first := t.widths == nil
	t.widths = t.measure(s.width - len(t.indent))
	if first && !t.bare {
		cells := make([]cell, len(t.header))
		for i, h := range t.header {
			cells[i] = cell{text: h, colour: bold}
		}
		t.line(s, cells)
	}
	for _, row := range t.rows {
		t.line(s, row)
	}
	t.rows = nil
}

// measure gives each column what its widest cell needs, then takes from the widest columns until all fit into limit.
func (t *table) measure(limit int) []int {
	widths := make([]int, len(t.header))
	total := -columnGap
	for i, h := range t.header {
		widths[i] = utf8.RuneCountInString(h)
		if t.widths != nil {
			widths[i] = max(widths[i], t.widths[i])
		}
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
		total += widths[i] + columnGap
	}
	for limit > 0 && total > limit {
		widest := 0
		for i := range widths {
			if widths[i] >= widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= minColumn {
			break
		}
		widths[widest]--
		total--
	}
	return widths
}

func (t *table) line(s *screen, cells []cell) {
	var b strings.Builder
	pad := 0
	for i, c := range cells {
		text := c.text
		if s.terminal {
			text = cut(text, t.widths[i], c.end)
		}
		if text != "" {
			fmt.Fprintf(&b, "%*s%s", pad, "", s.paint(c.colour, text))
			pad = 0
		}
		pad += max(0, t.widths[i]-utf8.RuneCountInString(text)) + columnGap
	}
	fmt.Fprintln(s, t.indent+b.String())
}

// cut shortens text to a width, at its end or in front.
func cut(text string, width int, end bool) string {
	runes := []rune(text)
	switch {
	case len(runes) <= width:
		return text
	case end:
		return "…" + string(runes[len(runes)-width+1:])
	default:
		return string(runes[:width-1]) + "…"
	}
}
