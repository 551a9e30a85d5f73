package main

import (
	"bytes"
	"io"
	"regexp"
	"unicode/utf8"
)

// logWriter is where a container's output goes: as it is to a file or pipe, made safe on a terminal.
func (s *screen) logWriter() io.Writer {
	if !s.terminal {
		return s.Writer
	}
	return &logScreen{out: s.Writer}
}

// logScreen shows output whose author is not trusted: colours pass, other control sequences are shown as escapes.
type logScreen struct {
	out  io.Writer
	rest []byte // an unfinished character or colour at the end of the last write
}

var (
	colourSequence = regexp.MustCompile(`^\x1b\[[0-9;]{0,32}m`)
	colourStart    = regexp.MustCompile(`^\x1b(\[[0-9;]{0,32})?$`)
)

func (l *logScreen) Write(p []byte) (int, error) {
	in := append(l.rest, p...)
	var out bytes.Buffer
	for len(in) > 0 && !unfinished(in) {
		if c := colourSequence.Find(in); c != nil {
			out.Write(c)
			in = in[len(c):]
			continue
		}
		r, size := utf8.DecodeRune(in)
		if passes(r) {
			out.Write(in[:size])
		} else {
			out.WriteString(escape(r))
		}
		in = in[size:]
	}
	l.rest = bytes.Clone(in)
	_, err := l.out.Write(out.Bytes())
	return len(p), err
}

func passes(r rune) bool {
	return r == '\t' || r == '\r' || r == utf8.RuneError || !hidden(r)
}

func unfinished(in []byte) bool {
	return !utf8.FullRune(in) || in[0] == 0x1b && colourStart.Match(in)
}
