package spec

import (
	"time"
)

// Limit is a kernel limit: not said (the zero value), a number, or max (no limit). Comparable.
// Its String is the text of the kernel file: digits or "max".
type Limit struct {
	value uint64 // the number plus one, so that zero means not said; maxLimit means max
}

// Bytes is a size in bytes; zero means not said. In YAML: 512, 64Ki, 10Mi, 1Gi, 5M.
type Bytes uint64

// Cores is processor time in millionths of a processor: not said (zero), a number, or max. Comparable.
type Cores struct {
	value uint64 // millionths plus one; maxLimit means max
}

// Duration is a length of time written as Go writes it: 500ms, 30s, 10m. Zero means not said.
type Duration time.Duration

const maxLimit = ^uint64(0)

// NewLimit is the limit n.
func NewLimit(n uint64) Limit { return Limit{n + 1} }

// MaxLimit is the limit max: none.
func MaxLimit() Limit { return Limit{maxLimit} }

// IsZero tells whether nothing was said.
func (l Limit) IsZero() bool { return l.value == 0 }

// IsMax tells whether the limit is max.
func (l Limit) IsMax() bool { return l.value == maxLimit }

// Value is the number; it means nothing for a limit that is not said or max.
func (l Limit) Value() uint64 { return l.value - 1 }

// NewCores is n millionths of a processor.
func NewCores(n uint64) Cores { return Cores{n + 1} }

// MaxCores is the limit max: none.
func MaxCores() Cores { return Cores{maxLimit} }

// IsZero tells whether nothing was said.
func (c Cores) IsZero() bool { return c.value == 0 }

// IsMax tells whether the limit is max.
func (c Cores) IsMax() bool { return c.value == maxLimit }

// Micro is the limit in millionths of a processor; it means nothing when not said or max.
func (c Cores) Micro() uint64 { return c.value - 1 }
