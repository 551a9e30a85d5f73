package spec

import (
	"encoding/json"
	"strconv"
)

// ErrnoRet is what a system call filter returns beside its action: not said (the zero value), or a number from 0, which
// for SCMP_ACT_ERRNO makes the call succeed without running. Comparable.
type ErrnoRet uint32 // the number plus one

// NewErrnoRet is the number n, of 16 bits.
func NewErrnoRet(n uint16) ErrnoRet { return ErrnoRet(n) + 1 }

// IsZero tells whether nothing was said.
func (e ErrnoRet) IsZero() bool { return e == 0 }

// Value is the number; it means nothing when none was said.
func (e ErrnoRet) Value() uint16 { return uint16(e - 1) }

// String is the number in digits; "" when not said.
func (e ErrnoRet) String() string {
	if e.IsZero() {
		return ""
	}
	return strconv.Itoa(int(e.Value()))
}

// MarshalJSON writes a number, or null when not said.
func (e ErrnoRet) MarshalJSON() ([]byte, error) {
	if e.IsZero() {
		return []byte("null"), nil
	}
	return []byte(e.String()), nil
}

// UnmarshalJSON reads a number; null is not said.
func (e *ErrnoRet) UnmarshalJSON(data []byte) error {
	var n *uint16
	if err := json.Unmarshal(data, &n); err != nil {
		return err
	}
	*e = 0
	if n != nil {
		*e = NewErrnoRet(*n)
	}
	return nil
}
