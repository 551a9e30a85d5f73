package spec

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Cores is processor time in millionths of a processor: not said (zero), a number, or max. Comparable.
// In YAML: "1.5", 500m (thousandths), 2, max.
type Cores struct {
	value uint64 // millionths plus one; maxLimit means max
}

const (
	microCore  = 1e6
	maxCores   = 1_000_000
	coresWants = "a number of processors such as 2, 1.5 or 500m, or max"
)

// NewCores is n millionths of a processor, at most a million processors: more is max.
func NewCores(n uint64) Cores {
	if n > maxCores*microCore {
		return MaxCores()
	}
	return Cores{n + 1}
}

// MaxCores is the limit max: none.
func MaxCores() Cores { return Cores{maxLimit} }

// ParseCores reads a decimal number of at most six places, thousandths with the suffix m, or max.
func ParseCores(s string) (Cores, error) {
	if s == maxWord {
		return MaxCores(), nil
	}
	digits, milli := strings.CutSuffix(s, "m")
	places := 6
	if milli {
		places = 3
	}
	whole, fraction, point := strings.Cut(digits, ".")
	switch {
	case strings.HasPrefix(s, "-"):
		return Cores{}, maxHint(s, faultf("%s is negative", quote(s)))
	case !isDigits(whole) || point && !isDigits(fraction):
		return Cores{}, maxHint(s, faultf("%s is not %s", quote(s), coresWants))
	case len(whole) > 1 && whole[0] == '0':
		return Cores{}, fault{quote(s) + " begins with a zero, which YAML may read as octal", "write it without the leading zero"}
	case len(fraction) > places:
		return Cores{}, faultf("%s is finer than a millionth of a processor", quote(s))
	}
	n, err := strconv.ParseUint(whole+fraction+strings.Repeat("0", places-len(fraction)), 10, 64)
	if err != nil || n > maxCores*microCore {
		return Cores{}, fault{fmt.Sprintf("%s is more than %d processors", quote(s), maxCores), "no limit is written max"}
	}
	return NewCores(n), nil
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// IsZero tells whether nothing was said.
func (c Cores) IsZero() bool { return c.value == 0 }

// IsMax tells whether the limit is max.
func (c Cores) IsMax() bool { return c.value == maxLimit }

// Micro is the limit in millionths of a processor; it means nothing when not said or max.
func (c Cores) Micro() uint64 { return c.value - 1 }

// String is the number of processors as a decimal, or max; "" when not said.
func (c Cores) String() string {
	switch {
	case c.IsZero():
		return ""
	case c.IsMax():
		return maxWord
	}
	s := fmt.Sprintf("%d.%06d", c.Micro()/microCore, c.Micro()%microCore)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

// MarshalJSON writes the text of String, or null when not said.
func (c Cores) MarshalJSON() ([]byte, error) {
	if c.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(c.String())
}

// UnmarshalJSON reads a number or a text as ParseCores does; null is not said.
func (c *Cores) UnmarshalJSON(data []byte) error { return unmarshalQuantity(c, data, ParseCores) }
