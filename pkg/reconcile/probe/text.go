package probe

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// firstLine is the first line of what somebody has said that is not blank, fit to be shown.
func firstLine(said []byte) string {
	for line := range strings.Lines(string(said)) {
		if line = strings.TrimSpace(line); line != "" {
			return printable(line)
		}
	}
	return ""
}

// printable is a text of at most maxMessage bytes that moves no cursor, and hides nothing.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "..."
}
