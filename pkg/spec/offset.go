package spec

import (
	"encoding/json"
	"strings"
)

// Offset is a length of time that may be negative: 30s, -1h30m. Zero means not said.
type Offset int64 // nanoseconds

// ParseOffset reads a text as ParseDuration does, with an optional - in front.
func ParseOffset(s string) (Offset, error) {
	text, negative := strings.CutPrefix(s, "-")
	d, err := ParseDuration(text)
	switch {
	case negative && err != nil:
		return 0, fault{quote(s) + " is not a length of time", "units are ms, s, m and h: 500ms, 30s, -1h30m"}
	case negative:
		d = -d
	}
	return Offset(d), err
}

// String is the text as ParseOffset reads it, without zero parts.
func (o Offset) String() string {
	if o < 0 {
		return "-" + Duration(-o).String()
	}
	return Duration(o).String()
}

// MarshalJSON writes the text of String.
func (o Offset) MarshalJSON() ([]byte, error) { return json.Marshal(o.String()) }

// UnmarshalJSON reads a text as ParseOffset does; null is not said.
func (o *Offset) UnmarshalJSON(data []byte) error { return unmarshalQuantity(o, data, ParseOffset) }

// TimeNamespace says whether the container's monotonic and boot-time clocks are its own. See time_namespaces(7).
type TimeNamespace struct {
	// Mode is Host (the node's clocks; default) or Private (clocks of its own; default when an offset is said).
	Mode TimeMode `json:"mode,omitzero" class:"replace"`
	// Monotonic is what CLOCK_MONOTONIC is ahead of the node's, for example 10h or -30s. No clock can be before its beginning.
	Monotonic Offset `json:"monotonic,omitzero" class:"replace"`
	// Boottime is what CLOCK_BOOTTIME, and with it the uptime, is ahead of the node's.
	Boottime Offset `json:"boottime,omitzero" class:"replace"`
}

// TimeMode names a way of having clocks.
type TimeMode string

// The modes of a time namespace.
const (
	TimeHost    TimeMode = "Host"
	TimePrivate TimeMode = "Private"
)

// Private tells that the container has a time namespace of its own.
func (t TimeNamespace) Private() bool {
	return t.Mode == TimePrivate || t.Mode == "" && (t.Monotonic != 0 || t.Boottime != 0)
}

// Check tells why the fields contradict each other.
func (t TimeNamespace) Check() error { return asOne(t.check()) }

func (t TimeNamespace) check() (key string, err error) {
	if t.Mode == TimeHost && (t.Monotonic != 0 || t.Boottime != 0) {
		return "mode", fault{"Host has the node's clocks, without an offset", "remove mode, or the offsets"}
	}
	return "", nil
}
