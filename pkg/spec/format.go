package spec

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// format is a form of text, named by the format and keys tags.
type format struct {
	wants   string                     // what it is, with an example: "a path such as /srv/web"
	pattern string                     // what it must match, in the syntax that Go and JSON Schema share
	words   []string                   // or the only words allowed
	longest int                        // bytes; 0 for 4096
	lines   bool                       // whether it may have line breaks, tabs and escapes
	check   func(s string) error       // what a pattern cannot say
	hint    func(s string) string      // what helps when the pattern does not match
	match   func() (re *regexp.Regexp) // pattern, compiled once
}

// ValidName tells why a text cannot be a container's name, nil if it can.
func ValidName(name string) error { return checkFormat("name", name) }

// checkFormat tells why a text does not have a format; the format "" takes every text.
func checkFormat(name, s string) error {
	f, ok := formats()[name]
	switch longest := f.limit(); {
	case !ok:
		return nil
	case f.words != nil:
		return checkWord(s, f.words, strings.TrimPrefix(strings.TrimPrefix(f.wants, "a "), "an "), f.hint)
	case len(s) > longest:
		return faultf("has %d bytes, more than %d", len(s), longest)
	}
	if i := strings.IndexFunc(s, f.refuses); i >= 0 {
		r := []rune(s[i:])[0]
		return faultf("%s has the control character %U", quote(s), r)
	}
	if f.pattern != "" && !f.match().MatchString(s) {
		return fault{quote(s) + " is not " + f.wants, call(f.hint, s)}
	}
	if f.check != nil {
		return f.check(s)
	}
	return nil
}

func (f format) limit() int {
	if f.longest == 0 {
		return 4096
	}
	return f.longest
}

// refuses tells the characters a text must not have: no kernel interface takes NUL, and other control characters hide what a text says.
func (f format) refuses(r rune) bool {
	if f.lines {
		return r == 0
	}
	return unicode.IsControl(r)
}

// checkWord tells whether a text is one of the words.
func checkWord(s string, words []string, noun string, hints ...func(string) string) error {
	if slices.Contains(words, s) {
		return nil
	}
	message := "unknown " + noun + " " + quote(s)
	if noun == "" {
		message = quote(s) + " is not one of " + strings.Join(words, ", ")
	}
	for _, hint := range hints {
		if h := call(hint, s); h != "" {
			return fault{message, h}
		}
	}
	if near := didYouMean(s, words); near != "" {
		return fault{message, near}
	}
	if len(words) == 1 {
		return fault{message, "it is " + words[0]}
	}
	if noun != "" && len(words) <= 16 {
		return fault{message, "it is one of " + strings.Join(words, ", ")}
	}
	return fault{message: message}
}

func call(hint func(string) string, s string) string {
	if hint == nil {
		return ""
	}
	return hint(s)
}
