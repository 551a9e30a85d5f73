package spec

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Bounds on a file, checked before any of it is parsed, so that no text costs much time or memory.
const (
	maxFileSize  = 1 << 20
	maxDocuments = 1000
	// maxValues bounds line breaks, commas, brackets and dashes, of which each can begin a value in the tree.
	maxValues = 50_000
)

// section is the text of one document of a file.
type section struct {
	text []byte
	line int // lines of the file before it
}

// checkText finds what makes a file unreadable as a whole.
func checkText(data []byte) (Problem, bool) {
	switch {
	case len(data) > maxFileSize:
		return Problem{Line: 1, Column: 1, Message: fmt.Sprintf("the file has more than %d bytes", maxFileSize)}, false
	case bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")):
		return Problem{Line: 1, Column: 1, Message: "the file is UTF-16", Hint: "save it as UTF-8"}, false
	}
	line, column, values := 1, 1, 0
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if message, hint := badRune(r, size, data[i:]); message != "" {
			return Problem{Line: line, Column: column, Message: message, Hint: hint}, false
		}
		if beginsValue(r, data[i+size:]) {
			values++
		}
		i, column = i+size, column+1
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	if values > maxValues {
		return Problem{Line: 1, Column: 1, Message: fmt.Sprintf("the file has %d lines, commas, brackets and dashes, more than %d", values, maxValues)}, false
	}
	return Problem{}, true
}

// beginsValue tells the characters after which a value of the tree can begin.
func beginsValue(r rune, rest []byte) bool {
	switch r {
	case '\n', ',', '[', '{':
		return true
	case '-', '?':
		return len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t')
	}
	return false
}

// badRune says why a character may not stand in a manifest: programs differ in how they read or show it.
func badRune(r rune, size int, rest []byte) (message, hint string) {
	switch {
	case r == utf8.RuneError && size == 1:
		return fmt.Sprintf("the byte 0x%02x is not UTF-8", rest[0]), "save the file as UTF-8"
	case r == '\ufeff':
		return "a byte order mark", "save the file as UTF-8 without it"
	case r == '\r' && !bytes.HasPrefix(rest, []byte("\r\n")):
		return "a carriage return without a line feed", "end lines with a line feed"
	case r == '\n' || r == '\t' || r == '\r':
		return "", ""
	case r < ' ' || r >= 0x7f && r < 0xa0:
		return fmt.Sprintf("the control character %U", r), fmt.Sprintf("write it as \"\\x%02x\" in double quotes if it is meant", r)
	case r == '\u2028' || r == '\u2029':
		return fmt.Sprintf("the line separator %U", r), "end lines with a line feed"
	case r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069':
		return fmt.Sprintf("the invisible character %U, which reorders the text around it", r), "remove it"
	}
	return "", ""
}

// split cuts a file at its document markers, lines of --- or ..., which YAML allows nowhere else at the start of a line.
// Documents without content are left out.
func split(data []byte) []section {
	var sections []section
	start, startLine := 0, 0 // of the current document
	end, line := 0, 0        // of the lines seen
	cut := func() {
		if text := data[start:end]; hasContent(text) {
			sections = append(sections, section{text, startLine})
		}
	}
	for text := range bytes.Lines(data) {
		switch {
		case isMarker(text, "---"):
			cut()
			start, startLine = end, line
		case isMarker(text, "..."):
			cut()
			start, startLine = end+len(text), line+1
		}
		end, line = end+len(text), line+1
	}
	if start < end {
		cut()
	}
	return sections
}

// isMarker tells whether a line is a document marker, alone or followed by a blank.
func isMarker(line []byte, marker string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(marker))
	return ok && (len(rest) == 0 || bytes.ContainsRune([]byte(" \t\r\n"), rune(rest[0])))
}

// hasContent tells whether a document has more than its marker, blanks and comments.
func hasContent(text []byte) bool {
	if isMarker(text, "---") {
		text = text[len("---"):]
	}
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return true
		}
	}
	return false
}
