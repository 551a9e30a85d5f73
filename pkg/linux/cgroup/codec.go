package cgroup

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strconv"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

var (
	pageSize = uint64(os.Getpagesize())
	// pageMax is what the kernel's page counters take for no limit: PAGE_COUNTER_MAX pages, include/linux/page_counter.h.
	pageMax = (1<<63 - 1) / pageSize * pageSize
)

// pages rounds a size down as page_counter_memparse does; beyond the counter there is no limit.
func pages(l spec.Limit) spec.Limit {
	if l.IsMax() || l.Value() >= pageMax {
		return spec.MaxLimit()
	}
	return spec.NewLimit(l.Value() / pageSize * pageSize)
}

func limitText(l spec.Limit) string {
	if l.IsMax() {
		return "max"
	}
	return strconv.FormatUint(l.Value(), 10)
}

func parseLimit(text string) (spec.Limit, error) {
	if text == "max" {
		return spec.MaxLimit(), nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	return spec.NewLimit(n), err
}

// bytes is a size in one v2 file: digits or max, whole pages.
func bytes(file string, unset spec.Limit) *codec[spec.Limit] {
	return &codec[spec.Limit]{
		files: []string{file}, unset: []string{limitText(unset)},
		encode: func(l spec.Limit, _ spec.Resources) ([]string, error) { return []string{limitText(pages(l))}, nil },
		decode: func(texts []string) (spec.Limit, error) { return parseLimit(texts[0]) },
	}
}

// count is a number in one file: digits or max.
func count(file string) *codec[spec.Limit] {
	return &codec[spec.Limit]{
		files: []string{file}, unset: []string{"max"},
		encode: func(l spec.Limit, _ spec.Resources) ([]string, error) { return []string{limitText(l)}, nil },
		decode: func(texts []string) (spec.Limit, error) { return parseLimit(texts[0]) },
	}
}

// v1PagesText is a size as v1 memory files print it: max is pageMax.
func v1PagesText(l spec.Limit) string {
	if l = pages(l); l.IsMax() {
		return strconv.FormatUint(pageMax, 10)
	}
	return limitText(l)
}

func parseV1Pages(text string) (spec.Limit, error) {
	l, err := parseLimit(text)
	if err != nil {
		return spec.Limit{}, err
	}
	return pages(l), nil
}

// v1Bytes is a size in one v1 memory file.
func v1Bytes(file string) *codec[spec.Limit] {
	return &codec[spec.Limit]{
		files: []string{file}, unset: []string{v1PagesText(spec.MaxLimit())},
		encode: func(l spec.Limit, _ spec.Resources) ([]string, error) { return []string{v1PagesText(l)}, nil },
		decode: func(texts []string) (spec.Limit, error) { return parseV1Pages(texts[0]) },
	}
}

// v1Swap is swap on v1, which limits memory and swap together and so needs memory.max.
func v1Swap() *codec[spec.Limit] {
	return &codec[spec.Limit]{
		files: []string{"memory.memsw.limit_in_bytes"}, related: []string{"memory.limit_in_bytes"},
		unset: []string{v1PagesText(spec.MaxLimit())},
		encode: func(swap spec.Limit, all spec.Resources) ([]string, error) {
			memory, both := pages(cmp.Or(all.Memory.Max, spec.MaxLimit())), pages(swap)
			if !both.IsMax() && memory.IsMax() {
				return nil, fmt.Errorf("cgroup v1 limits memory and swap together: %w\nhint: set memory.max as well", fs.ErrInvalid)
			}
			if !both.IsMax() {
				both = spec.NewLimit(memory.Value() + both.Value())
			}
			return []string{v1PagesText(both), v1PagesText(memory)}, nil
		},
		decode: func(texts []string) (spec.Limit, error) {
			both, err := parseV1Pages(texts[0])
			if err != nil || both.IsMax() {
				return both, err
			}
			memory, err := parseV1Pages(texts[1])
			if err != nil {
				return spec.Limit{}, err
			}
			return spec.NewLimit(both.Value() - min(memory.Value(), both.Value())), nil
		},
	}
}

// list is a list of numbers and ranges as cpuset(7) writes it, merged and sorted as the kernel prints it.
func list(file, unset string) *codec[string] {
	return &codec[string]{
		files: []string{file}, unset: []string{unset},
		encode: func(s string, _ spec.Resources) ([]string, error) {
			s, err := canonicalList(s)
			return []string{s}, err
		},
		decode: func(texts []string) (string, error) { return texts[0], nil },
	}
}

// canonicalList turns "3,0-1,2" into "0-3". Numbers stay below 2^16, more than any kernel's processors.
func canonicalList(s string) (string, error) {
	type span struct{ first, last uint64 }
	var spans []span
	for word := range strings.SplitSeq(strings.TrimSpace(s), ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(word), "-")
		if !ranged {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || last < first {
			return "", fmt.Errorf("bad list %q, want numbers and ranges such as 0-3,8: %w", s, fs.ErrInvalid)
		}
		spans = append(spans, span{first, last})
	}
	sort.Slice(spans, func(i, j int) bool { return spans[i].first < spans[j].first })
	merged := spans[:1]
	for _, next := range spans[1:] {
		last := &merged[len(merged)-1]
		if next.first <= last.last+1 {
			last.last = max(last.last, next.last)
		} else {
			merged = append(merged, next)
		}
	}
	var words []string
	for _, m := range merged {
		word := strconv.FormatUint(m.first, 10)
		if m.last > m.first {
			word += "-" + strconv.FormatUint(m.last, 10)
		}
		words = append(words, word)
	}
	return strings.Join(words, ","), nil
}

// flag is 0 or 1 in one file.
func flag(file string) *codec[bool] {
	return &codec[bool]{
		files: []string{file}, unset: []string{"0"},
		encode: func(on bool, _ spec.Resources) ([]string, error) {
			if on {
				return []string{"1"}, nil
			}
			return []string{"0"}, nil
		},
		decode: func(texts []string) (bool, error) { return texts[0] == "1", nil },
	}
}

// swappiness is v1's own for each cgroup; a new one has that of the one above.
func swappiness() *codec[spec.Number] {
	return &codec[spec.Number]{
		files: []string{"memory.swappiness"}, unset: []string{inherit},
		encode: func(n spec.Number, _ spec.Resources) ([]string, error) { return []string{n.String()}, nil },
		decode: func(texts []string) (spec.Number, error) {
			n, err := strconv.ParseUint(texts[0], 10, 32)
			return spec.NewNumber(n), err
		},
	}
}
