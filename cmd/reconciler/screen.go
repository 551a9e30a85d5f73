package main

import (
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen is where a verb writes: perhaps a terminal, with a width and colours.
type screen struct {
	io.Writer
	terminal bool
	colours  bool
	width    int // of a terminal, 0 when there is none
}

func newScreen(w io.Writer) *screen {
	s := &screen{Writer: w}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s
	}
	s.terminal = true
	s.colours = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" // https://no-color.org
	if width, _, err := term.GetSize(int(f.Fd())); err == nil {
		s.width = width
	}
	return s
}

// size is the size of the terminal as it is now; 0 is not known.
func (s *screen) size() (width, height int) {
	if f, ok := s.Writer.(*os.File); ok && s.terminal {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil {
			s.width = width
			return width, height
		}
	}
	return s.width, 0
}

func (s *screen) widthOr(width int) int {
	if s.width > 0 {
		return s.width
	}
	return width
}

// colour is a "select graphic rendition" parameter of ECMA-48; "" is none.
type colour string

const (
	plain  colour = ""
	bold   colour = "1"
	dim    colour = "2"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	blue   colour = "34"
)

func (s *screen) paint(c colour, text string) string {
	if !s.colours || c == plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

func (s *screen) bold(text string) string { return s.paint(bold, text) }
func (s *screen) dim(text string) string  { return s.paint(dim, text) }
func (s *screen) red(text string) string  { return s.paint(red, text) }

// clean is text from elsewhere, made safe for a terminal: what cannot be printed is shown as an escape. Line breaks stay.
func clean(text string) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if strings.IndexFunc(text, hidden) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if hidden(r) {
			b.WriteString(escape(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// cleanLine is clean for a table cell: one line.
func cleanLine(text string) string {
	return clean(strings.ReplaceAll(strings.TrimSpace(text), "\n", " · "))
}

func hidden(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

func escape(r rune) string {
	if r == '\t' {
		return "    "
	}
	quoted := strconv.QuoteRuneToASCII(r)
	return quoted[1 : len(quoted)-1]
}
