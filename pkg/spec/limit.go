package spec

import (
	"encoding/json"
	"slices"
	"strconv"
)

// Limit is a kernel limit: not said (the zero value), a number, or max (no limit). Comparable.
// In YAML: 512, 64Ki, 10M, max. Its String is the text of the kernel file: digits or "max".
type Limit struct {
	value uint64 // the number plus one, so that zero means not said; maxLimit means max
}

const maxLimit = ^uint64(0)

// maxWord is the kernel's word for no limit.
const maxWord = "max"

// NewLimit is the limit n, at most 1<<63 - 1: a larger one is max, as for the kernel.
func NewLimit(n uint64) Limit {
	if n > maxQuantity {
		return MaxLimit()
	}
	return Limit{n + 1}
}

// MaxLimit is the limit max: none.
func MaxLimit() Limit { return Limit{maxLimit} }

// ParseLimit reads a whole number with an optional unit, or max.
func ParseLimit(s string) (Limit, error) {
	if s == maxWord {
		return MaxLimit(), nil
	}
	n, err := parseSize(s)
	if err != nil {
		return Limit{}, maxHint(s, err)
	}
	return NewLimit(n), nil
}

// noLimitWords are the usual words for no limit, the kernel's aside.
var noLimitWords = []string{"Max", "MAX", "-1", "unlimited", "infinity", "infinite", "inf", ".inf", "none", "max"}

// maxHint points the usual words for no limit to the kernel's.
func maxHint(s string, err error) error {
	if slices.Contains(noLimitWords, s) {
		return fault{err.Error(), "no limit is written max"}
	}
	return err
}

// IsZero tells whether nothing was said.
func (l Limit) IsZero() bool { return l.value == 0 }

// IsMax tells whether the limit is max.
func (l Limit) IsMax() bool { return l.value == maxLimit }

// Value is the number; it means nothing for a limit that is not said or max.
func (l Limit) Value() uint64 { return l.value - 1 }

// RoundDown is the limit rounded down to a multiple of unit. The kernel keeps memory limits as pages (see
// cgroup-v2.rst, "memory.max"), so a limit compared with what the kernel shows is rounded to the page size first.
func (l Limit) RoundDown(unit uint64) Limit {
	if l.IsZero() || l.IsMax() || unit == 0 {
		return l
	}
	return NewLimit(l.Value() - l.Value()%unit)
}

// String is the text of the kernel file: digits or max; "" when not said.
func (l Limit) String() string {
	switch {
	case l.IsZero():
		return ""
	case l.IsMax():
		return maxWord
	}
	return strconv.FormatUint(l.Value(), 10)
}

// MarshalJSON writes a number, "max", or null when not said.
func (l Limit) MarshalJSON() ([]byte, error) {
	switch {
	case l.IsZero():
		return []byte("null"), nil
	case l.IsMax():
		return json.Marshal(maxWord)
	}
	return []byte(l.String()), nil
}

// UnmarshalJSON reads a number or a text as ParseLimit does; null is not said.
func (l *Limit) UnmarshalJSON(data []byte) error { return unmarshalQuantity(l, data, ParseLimit) }
