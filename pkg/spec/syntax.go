package spec

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// lineError is how both parsers report a place: an optional line, and the message.
var lineError = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`yaml: (?:line (\d+): )?(.*)`) })

// syntaxHints say what usually helps, by what the parser stumbled over.
var syntaxHints = map[string]string{
	"mapping values are not allowed in this context": `check the indentation, and quote a text that contains ": "`,
	"found character that cannot start any token":    "quote a text that begins with @, ` or %",
	"could not find expected ':'":                    `a key needs ": " after it`,
	"did not find expected key":                      "check the indentation, and the quotes and brackets above",
	"did not find expected '-' indicator":            "check the indentation: the items of a list stand below each other",
	"did not find expected ',' or ']'":               "close the list with ]",
	"did not find expected ',' or '}'":               "close the braces with }",
	"did not find expected node content":             "check the brackets and commas",
	"found unexpected end of stream":                 "close the quotes",
	"found unknown escape character":                 `write \\ for a backslash in double quotes, or use single quotes`,
	"did not find expected <document start>":         "begin a second document with ---",
}

// syntaxProblem places an error of the tree's parser. The parser names the line where a construct began, without counting
// from one in half of its messages; the strict decoder's parser names where it stopped, which is nearer to the cause
// except when a quote is left open.
func syntaxProblem(s section, err error) Problem {
	line, message := parseLineError(err)
	if message != "found unexpected end of stream" {
		if _, err := yaml.YAMLToJSON(s.text); err != nil {
			line, message = parseLineError(err)
		}
	}
	last := bytes.Count(bytes.TrimSuffix(s.text, []byte("\n")), []byte("\n")) + 1
	line = max(1, min(line, last))
	text := nthLine(s.text, line)
	indent := len(text) - len(bytes.TrimLeft(text, " \t"))
	p := Problem{Line: s.line + line, Column: indent + 1, Message: "not YAML: " + message, Hint: syntaxHints[message]}
	if tab := bytes.IndexByte(text[:indent], '\t'); tab >= 0 {
		p.Column, p.Message, p.Hint = tab+1, "a tab in the indentation", "indent with spaces"
	}
	for _, known := range knownLines {
		if m := known.form().FindIndex(s.text); m != nil {
			before := s.text[:m[0]]
			p.Line, p.Column = s.line+1+bytes.Count(before, []byte("\n")), 1
			p.Message, p.Hint = known.message, known.hint
		}
	}
	if name, ok := strings.CutPrefix(message, "unknown anchor '"); ok {
		name, _, _ = strings.Cut(name, "'")
		p.Line, p.Column = place(s.text, "*"+name)
		p.Line += s.line
		p.Message, p.Hint = "an alias of an anchor", aliasHint
	}
	return p
}

// knownLines are lines that are no YAML but have a well-known cause.
var knownLines = []struct {
	form          func() *regexp.Regexp
	message, hint string
}{
	{form(`(?m)^%`), "a YAML directive", "remove the line"},
	{form(`(?m)^<<<<<<< `), "an unresolved merge conflict", "resolve it and remove the markers"},
}

// place is the line and column, from 1, where a word first stands in a text; the beginning when it does not.
func place(text []byte, word string) (line, column int) {
	before, _, found := bytes.Cut(text, []byte(word))
	if !found {
		return 1, 1
	}
	return placeAfter(before)
}

// placeAfter is the line and column, from 1, of what follows a text.
func placeAfter(before []byte) (line, column int) {
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}

// parseLineError takes a parser's error apart. The parser's own errors, unlike those of its scanner, count lines from zero.
func parseLineError(err error) (line int, message string) {
	m := lineError().FindStringSubmatch(err.Error())
	if m == nil {
		return 1, shorten(err.Error())
	}
	line, _ = strconv.Atoi(m[1])
	switch message = m[2]; {
	case m[1] == "":
		line = 1
	case strings.HasPrefix(message, "did not find expected") && syntaxHints[message] != "":
		line++
	}
	return line, shorten(message)
}

// nthLine is a line of a text, counted from 1, without its end.
func nthLine(text []byte, n int) []byte {
	for line := range bytes.Lines(text) {
		if n--; n == 0 {
			return bytes.TrimRight(line, "\r\n")
		}
	}
	return nil
}
