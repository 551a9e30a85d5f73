package main

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// topColumn is a column of top, of which the last give way on a narrow terminal.
type topColumn struct {
	header string
	cell   func(sample) cell
}

// none is what is not counted.
var none = cell{text: "-", colour: dim}

var topColumns = []topColumn{
	{"NAME", func(l sample) cell { return cell{text: l.Name} }},
	{"CPU%", func(l sample) cell {
		if !l.rated || l.CPU == nil {
			return none
		}
		return cell{text: fmt.Sprintf("%.1f", l.cpu)}
	}},
	{"MEMORY/LIMIT", func(l sample) cell {
		if l.Memory == nil {
			return none
		}
		return cell{text: sizeText(float64(l.memory())) + "/" + limitText(l.Memory.Max)}
	}},
	{"MEM%", func(l sample) cell {
		if l.Memory == nil || l.Memory.Max.IsZero() || l.Memory.Max.IsMax() || l.Memory.Max.Value() == 0 {
			return none
		}
		share := 100 * float64(l.memory()) / float64(l.Memory.Max.Value())
		c := cell{text: fmt.Sprintf("%.1f", share)}
		if share >= 90 {
			c.colour = yellow
		}
		return c
	}},
	{"PIDS", func(l sample) cell {
		if l.Pids == nil {
			return none
		}
		return cell{text: fmt.Sprint(l.Pids.Current)}
	}},
	{"NET RX/TX", func(l sample) cell { return rates(l.rated && len(ownNetwork(l.Stats)) > 0, l.rx, l.tx) }},
	{"IO R/W", func(l sample) cell { return rates(l.rated && len(l.IO) > 0, l.read, l.write) }},
	{"PSI C/M/I", func(l sample) cell {
		if l.Pressure == nil {
			return none
		}
		p := l.Pressure
		return cell{text: fmt.Sprintf("%.0f/%.0f/%.0f", p.CPU.Some.Avg10, p.Memory.Some.Avg10, p.IO.Some.Avg10)}
	}},
}

func rates(known bool, in, out float64) cell {
	if !known {
		return none
	}
	return cell{text: sizeText(in) + "/" + sizeText(out)}
}

// sizeText is a number of bytes in three digits or a few: 0, 980, 1.2Ki, 34.5Mi, 512Gi.
func sizeText(n float64) string {
	const units = "KMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%.0f", n)
	}
	unit := -1
	for n >= 1000 && unit < len(units)-1 {
		n, unit = n/1024, unit+1
	}
	if n < 99.95 {
		return fmt.Sprintf("%.1f%ci", n, units[unit])
	}
	return fmt.Sprintf("%.0f%ci", n, units[unit])
}

func limitText(l spec.Limit) string {
	switch {
	case l.IsZero():
		return "-"
	case l.IsMax():
		return "max"
	}
	return sizeText(float64(l.Value()))
}

// leastColumns are never left out.
const leastColumns = 3

// draw shows samples: on a terminal over what was shown before, else as one more table.
func (t *top) draw(samples []sample) error {
	sortSamples(samples, t.order.word)
	width, height := t.out.size()
	if !t.out.terminal || t.frames > 0 {
		return t.page(t.out, samples, width)
	}
	left := 0
	if room := height - 2; height > 0 && len(samples) > max(room-1, 1) {
		left = len(samples) - max(room-1, 1)
		samples = samples[:len(samples)-left]
	}
	var page bytes.Buffer
	s := *t.out
	s.Writer = &page
	if err := t.page(&s, samples, width); err != nil {
		return err
	}
	if left > 0 {
		fmt.Fprintln(&page, s.dim(fmt.Sprintf("%d more", left)))
	}
	_, err := fmt.Fprint(t.out, t.over(page.String()))
	return err
}

// The control sequences of a refreshed screen, of ECMA-48: to the upper left corner, erase to the end of the line and of the screen. Each line is
// written over the one before and what is left of that erased, so that nothing flickers.
const (
	cursorHome = "\x1b[H"
	eraseLine  = "\x1b[K"
	eraseBelow = "\x1b[J"
)

// over is a page that replaces the one before.
func (t *top) over(page string) string {
	return cursorHome + strings.ReplaceAll(page, "\n", eraseLine+"\n") + eraseBelow
}

// page writes one table with as many columns as fit.
func (t *top) page(s *screen, samples []sample, width int) error {
	if len(samples) == 0 {
		_, err := fmt.Fprintln(s, "no containers")
		return err
	}
	columns := fit(topColumns, samples, width)
	headers := make([]string, len(columns))
	for i, c := range columns {
		headers[i] = c.header
	}
	tab := newTable(headers...)
	tab.bare = t.noHeader
	for _, l := range samples {
		cells := make([]cell, len(columns))
		for i, c := range columns {
			cells[i] = c.cell(l)
		}
		tab.add(cells...)
	}
	tab.draw(s)
	return nil
}

// fit leaves out the last columns until the others fit into a width; 0 is any.
func fit(columns []topColumn, samples []sample, width int) []topColumn {
	total := -columnGap
	for i, c := range columns {
		widest := utf8.RuneCountInString(c.header)
		for _, l := range samples {
			widest = max(widest, utf8.RuneCountInString(cleanLine(c.cell(l).text)))
		}
		if i == 0 {
			widest = max(minColumn, min(widest, width/3)) // a long name is cut before figures go
		}
		if total += widest + columnGap; width > 0 && total > width && i >= leastColumns {
			return columns[:i]
		}
	}
	return columns
}
