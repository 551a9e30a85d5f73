package spec

import "strconv"

// OOMScore is an adjustment of the badness by which the kernel picks a victim: not said (the zero value), or -1000 to 1000,
// of which 0 is one. Comparable.
type OOMScore struct {
	said  bool
	value int
}

// NewOOMScore is the adjustment n.
func NewOOMScore(n int) OOMScore { return OOMScore{true, n} }

// IsZero tells that nothing was said.
func (s OOMScore) IsZero() bool { return !s.said }

// Value is the adjustment; 0 when not said.
func (s OOMScore) Value() int { return s.value }

// String is the text of the kernel file; "" when not said.
func (s OOMScore) String() string {
	if !s.said {
		return ""
	}
	return strconv.Itoa(s.value)
}

// MarshalJSON writes a number, or null when not said.
func (s OOMScore) MarshalJSON() ([]byte, error) {
	if !s.said {
		return []byte("null"), nil
	}
	return []byte(s.String()), nil
}

// UnmarshalJSON reads a number; null is not said.
func (s *OOMScore) UnmarshalJSON(data []byte) error {
	return unmarshalQuantity(s, data, func(text string) (OOMScore, error) {
		n, err := strconv.Atoi(text)
		if err != nil {
			return OOMScore{}, faultf("%s is not a whole number", quote(text))
		}
		return NewOOMScore(n), nil
	})
}
