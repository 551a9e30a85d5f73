package spec

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	yamltree "go.yaml.in/yaml/v3"
)

// reading is a form of text that some YAML parsers read as something else.
type reading struct {
	form *regexp.Regexp
	what string
}

// readings are those of YAML 1.1 (https://yaml.org/type/) and what the parsers used here add.
var readings = sync.OnceValue(func() []reading {
	return []reading{
		{regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false)$`), "true or false"},
		{regexp.MustCompile(`^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$`), "a number of base 60"},
		{regexp.MustCompile(`^[-+]?(0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+)$`), "a number"},
		{regexp.MustCompile(`^[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?$`), "a number"},
		{regexp.MustCompile(`^[-+]?\.(?i:inf|nan)$`), "a number"},
		{regexp.MustCompile(`^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?$`), "a date"},
		{regexp.MustCompile(`^(<<|=)$`), "a key to merge"},
	}
})

// trap is a fault when a scalar without quotes stands where a text is wanted but may be read as something else.
func trap(n *yamltree.Node) error {
	if !isPlain(n) {
		return nil
	}
	read := ""
	if n.Tag != "!!str" {
		read = "a " + strings.TrimPrefix(n.Tag, "!!")
	}
	for _, r := range readings() {
		if r.form.MatchString(n.Value) {
			read = r.what
			break
		}
	}
	if read == "" {
		return nil
	}
	return fault{quoteBare(n.Value) + " without quotes is read as " + read + ", not as a text", "write " + quote(n.Value)}
}

// checkScalar checks the text of a value that is neither list nor map.
func checkScalar(f *Field, n *yamltree.Node) error {
	switch f.kind {
	case kindText:
		if f.Values != nil {
			return checkWord(n.Value, f.Values, "")
		}
		if err := trap(n); err != nil && formats()[f.format].words == nil {
			return err
		}
		return checkFormat(f.format, n.Value)
	case kindSwitch:
		return checkSwitch(n)
	case kindNumber:
		return checkNumber(f, n)
	}
	return checkQuantity(f, n.Value)
}

// switchWords are the ways of saying true and false in YAML 1.1 and elsewhere.
var switchWords = map[string]string{
	"true": "true", "yes": "true", "on": "true", "y": "true", "1": "true",
	"false": "false", "no": "false", "off": "false", "n": "false", "0": "false",
}

func checkSwitch(n *yamltree.Node) error {
	if n.Tag == "!!bool" && (n.Value == "true" || n.Value == "false") {
		return nil
	}
	f := fault{message: "wants true or false, not " + quote(n.Value)}
	if word := switchWords[strings.ToLower(n.Value)]; word != "" {
		f.hint = "write " + word + " without quotes"
	}
	return f
}

var decimal = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`) })

func checkNumber(f *Field, n *yamltree.Node) error {
	switch {
	case n.Tag == "!!str" && decimal().MatchString(n.Value):
		return fault{"wants a whole number, not the text " + quote(n.Value), "write it without quotes"}
	case !decimal().MatchString(n.Value):
		return fault{"wants a whole number, not " + quote(n.Value), numberHint(f, n.Value)}
	}
	if f.whole {
		return checkWhole(f, n.Value)
	}
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		return faultf("%s is too large", quote(n.Value))
	}
	return bounded(f, v, n.Value, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
}

// checkWhole checks a number that has no sign and all of 64 bits.
func checkWhole(f *Field, s string) error {
	if strings.HasPrefix(s, "-") {
		return faultf("%s is less than %s", quoteBare(s), cmp.Or(f.Min, "0"))
	}
	parse := func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }
	v, err := parse(s)
	if err != nil {
		return faultf("%s is too large", quote(s))
	}
	return bounded(f, v, s, parse)
}

func numberHint(f *Field, value string) string {
	switch {
	case f.Min == "-1" && slices.Contains(noLimitWords, value):
		return "no limit is written -1"
	case strings.ContainsAny(value, "0123456789"):
		return "write it in decimal digits"
	}
	return ""
}

// checkQuantity checks a quantity, which stands with or without quotes: its words are no trap.
func checkQuantity(f *Field, s string) error {
	switch f.kind {
	case kindLimit:
		return checkParsed(f, s, ParseLimit, func(l Limit) uint64 { return l.value })
	case kindBytes:
		return checkParsed(f, s, ParseBytes, func(b Bytes) uint64 { return uint64(b) })
	case kindCores:
		return checkParsed(f, s, ParseCores, func(c Cores) uint64 { return c.value })
	case kindOffset:
		_, err := ParseOffset(s)
		return err
	}
	return checkParsed(f, s, ParseDuration, func(d Duration) uint64 { return uint64(d) })
}

func checkParsed[T any](f *Field, s string, parse func(string) (T, error), order func(T) uint64) error {
	v, err := parse(s)
	if err != nil {
		return err
	}
	return bounded(f, order(v), s, func(s string) (uint64, error) {
		v, err := parse(s)
		return order(v), err
	})
}

// bounded checks a value against the bounds of its field. No limit is within all bounds.
func bounded[T cmp.Ordered](f *Field, v T, s string, parse func(string) (T, error)) error {
	switch {
	case s == maxWord:
		return nil
	case f.Min != "" && v < must(parse(f.Min)):
		return faultf("%s is less than %s", quoteBare(s), f.Min)
	case f.Max != "" && v > must(parse(f.Max)):
		return faultf("%s is more than %s", quoteBare(s), f.Max)
	}
	return nil
}

// must is for the bounds in tags, which a test has read.
func must[T any](v T, err error) T {
	if err != nil {
		panic("spec: bad bound: " + err.Error())
	}
	return v
}
