// Package metric has counters and histograms as plain atomics, and writes them in the text format of Prometheus, version 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/). It keeps no list of what there is, and refuses to know what is measured: who owns some writes
// them, family by family.
package metric

import (
	"math"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
)

// Type is what the figures of a family are.
type Type string

// The types of families.
const (
	Counter   Type = "counter"   // only grows, until it begins anew at 0
	Gauge     Type = "gauge"     // goes up and down
	Histogram Type = "histogram" // how many observations were below each of some bounds
)

// Family is what figures of one name have in common.
type Family struct {
	Name string
	Type Type
	Help string
	// Labels are the names of its labels, in the order in which their values are given.
	Labels []string
}

// Count is a figure that only grows. The zero value is 0, and ready.
type Count struct{ n atomic.Uint64 }

// Add adds to it.
func (c *Count) Add(n uint64) { c.n.Add(n) }

// Value is what it has come to.
func (c *Count) Value() float64 { return float64(c.n.Load()) }

// Spread counts observations by how large they are. Make one with NewSpread.
type Spread struct {
	bounds  []float64
	buckets []atomic.Uint64 // the last is for what is above all bounds
	sum     atomic.Uint64   // bits of a float64
}

// NewSpread makes one with the upper bounds of its buckets, which grow.
func NewSpread(bounds ...float64) *Spread {
	return &Spread{bounds: bounds, buckets: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe counts one observation.
func (s *Spread) Observe(v float64) {
	s.buckets[sort.SearchFloat64s(s.bounds, v)].Add(1)
	for {
		before := s.sum.Load()
		if s.sum.CompareAndSwap(before, math.Float64bits(math.Float64frombits(before)+v)) {
			return
		}
	}
}

// Counts are a Count for each value of some labels, made when it is first asked for. Who uses them sees to it that there are few. The zero value has none.
type Counts struct {
	mu     sync.Mutex
	labels []string // the values, joined by zero bytes, sorted
	of     []*Count // in that order
}

// With is the count for the values of the labels. A value must not have a zero byte.
func (s *Counts) With(values ...string) *Count {
	key := strings.Join(values, "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	at := sort.SearchStrings(s.labels, key)
	if at == len(s.labels) || s.labels[at] != key {
		s.labels = slices.Insert(s.labels, at, key)
		s.of = slices.Insert(s.of, at, new(Count))
	}
	return s.of[at]
}

// Empty tells whether nothing was observed yet.
func (s *Spread) Empty() bool {
	for i := range s.buckets {
		if s.buckets[i].Load() > 0 {
			return false
		}
	}
	return true
}
