package metric

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// ContentType is what the text is, for HTTP.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Text is figures being written. Each family is begun once, and its samples follow it.
type Text struct {
	Bytes []byte
	// Families are those that were begun.
	Families []Family
	family   Family
}

// Begin begins a family; labels are the names of its labels, in the order in which their values are given.
func (t *Text) Begin(name string, is Type, help string, labels ...string) {
	t.family = Family{name, is, help, labels}
	t.Families = append(t.Families, t.family)
	t.add("# HELP ", name, " ", helpEscapes.Replace(help), "\n# TYPE ", name, " ", string(is), "\n")
}

// The format escapes a backslash and a newline, in label values the double quote as well.
var (
	helpEscapes  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// Sample writes one figure of the family, with a value for each of its labels.
func (t *Text) Sample(v float64, values ...string) { t.sample("", "", v, values) }

// Spread writes the buckets, the sum and the number of observations.
func (t *Text) Spread(s *Spread, values ...string) {
	var below uint64
	for i := range s.buckets {
		below += s.buckets[i].Load()
		bound := "+Inf"
		if i < len(s.bounds) {
			bound = strconv.FormatFloat(s.bounds[i], 'g', -1, 64)
		}
		t.sample("_bucket", bound, float64(below), values)
	}
	t.sample("_sum", "", math.Float64frombits(s.sum.Load()), values)
	t.sample("_count", "", float64(below), values)
}

// Counts writes all of them, in the order of the values.
func (t *Text) Counts(s *Counts) {
	s.mu.Lock()
	labels, of := slices.Clone(s.labels), slices.Clone(s.of)
	s.mu.Unlock()
	for i, key := range labels {
		t.Sample(of[i].Value(), strings.Split(key, "\x00")...)
	}
}

// sample writes a line; bound is the upper one of a bucket.
func (t *Text) sample(suffix, bound string, v float64, values []string) {
	t.add(t.family.Name, suffix)
	separator := "{"
	for i, label := range t.family.Labels {
		t.add(separator, label, `="`, labelEscapes.Replace(values[i]), `"`)
		separator = ","
	}
	if bound != "" {
		t.add(separator, `le="`, bound, `"`)
		separator = ","
	}
	if separator == "," {
		t.add("}")
	}
	t.add(" ")
	if v == float64(int64(v)) {
		t.Bytes = strconv.AppendInt(t.Bytes, int64(v), 10)
	} else {
		t.Bytes = strconv.AppendFloat(t.Bytes, v, 'g', -1, 64)
	}
	t.add("\n")
}

func (t *Text) add(texts ...string) {
	for _, s := range texts {
		t.Bytes = append(t.Bytes, s...)
	}
}
