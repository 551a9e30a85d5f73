package spec

import (
	"encoding/json"
	"strings"
	"time"
)

// Duration is a length of time written as Go writes it: 500ms, 30s, 10m. Zero means not said.
type Duration time.Duration

// maxDuration keeps deadlines within what clocks and timers can hold.
const maxDuration = 10 * 365 * 24 * time.Hour

// ParseDuration reads a text as time.ParseDuration does, from 0 to ten years.
func ParseDuration(s string) (Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case strings.HasPrefix(s, "-"):
		return 0, faultf("%s is negative", quote(s))
	case err != nil && isDigits(s) && s != "0":
		return 0, fault{quote(s) + " has no unit", "did you mean " + quoteBare(s+"s") + "?"}
	case err != nil || strings.HasPrefix(s, "+"):
		return 0, fault{quote(s) + " is not a length of time", "units are ms, s, m and h: 500ms, 30s, 1h30m"}
	case d > maxDuration:
		return 0, faultf("%s is longer than ten years", quote(s))
	}
	return Duration(d), nil
}

// String is the text as ParseDuration reads it, without zero parts: 10m, 1h30m, 500ms.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalJSON writes the text of String.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a text as ParseDuration does; null is not said.
func (d *Duration) UnmarshalJSON(data []byte) error { return unmarshalQuantity(d, data, ParseDuration) }
