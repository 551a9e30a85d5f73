package spec

import (
	"encoding/json"
	"strconv"
)

// Number is a whole number of which zero says something: not said (the zero value), or a number. Comparable.
type Number struct {
	value uint64 // the number plus one
}

// NewNumber is the number n, at most 1<<63 - 1.
func NewNumber(n uint64) Number { return Number{min(n, maxQuantity) + 1} }

// IsZero tells whether nothing was said.
func (n Number) IsZero() bool { return n.value == 0 }

// Value is the number; it means nothing when not said.
func (n Number) Value() uint64 { return n.value - 1 }

// String is the number in digits; "" when not said.
func (n Number) String() string {
	if n.IsZero() {
		return ""
	}
	return strconv.FormatUint(n.Value(), 10)
}

// MarshalJSON writes the number, or null when not said.
func (n Number) MarshalJSON() ([]byte, error) {
	if n.IsZero() {
		return []byte("null"), nil
	}
	return []byte(n.String()), nil
}

// UnmarshalJSON reads a number; null is not said.
func (n *Number) UnmarshalJSON(data []byte) error {
	var v *uint64
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*n = Number{}
	if v != nil {
		*n = NewNumber(*v)
	}
	return nil
}
