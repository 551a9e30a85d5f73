package cgroup

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"slices"
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

// Processor time is a quota of microseconds in every period. The kernel takes no quota below a
// millisecond, so small limits get the longest period; the smallest limit is a thousandth of a processor.
const (
	cpuPeriod    = 100_000
	cpuPeriodMax = 1_000_000
	cpuQuotaMin  = 1_000
)

func cpuQuota(c spec.Cores) (quota, period uint64) {
	if quota = c.Micro() / (1_000_000 / cpuPeriod); quota >= cpuQuotaMin {
		return quota, cpuPeriod
	}
	return max(c.Micro(), cpuQuotaMin), cpuPeriodMax
}

func parseCPU(quota, period string) (spec.Cores, error) {
	if quota == "max" || quota == "-1" {
		return spec.MaxCores(), nil
	}
	q, err := strconv.ParseUint(quota, 10, 44)
	if err != nil {
		return spec.Cores{}, err
	}
	p, err := strconv.ParseUint(period, 10, 32)
	if err != nil || p == 0 {
		return spec.Cores{}, fmt.Errorf("bad period %q: %w", period, fs.ErrInvalid)
	}
	return spec.NewCores(q * 1_000_000 / p), nil
}

// cpuMax is cpu.max: "QUOTA PERIOD" or "max PERIOD".
func cpuMax() *codec[spec.Cores] {
	return &codec[spec.Cores]{
		files: []string{"cpu.max"}, unset: []string{fmt.Sprintf("max %d", cpuPeriod)},
		encode: func(c spec.Cores, _ spec.Resources) ([]string, error) {
			if c.IsMax() {
				return []string{fmt.Sprintf("max %d", cpuPeriod)}, nil
			}
			quota, period := cpuQuota(c)
			return []string{fmt.Sprintf("%d %d", quota, period)}, nil
		},
		decode: func(texts []string) (spec.Cores, error) {
			quota, period, _ := strings.Cut(texts[0], " ")
			return parseCPU(quota, period)
		},
	}
}

// v1CPUMax is the same in two files; the quota is -1 for max.
func v1CPUMax() *codec[spec.Cores] {
	texts := func(quota int64, period uint64) []string {
		return []string{strconv.FormatInt(quota, 10), strconv.FormatUint(period, 10)}
	}
	return &codec[spec.Cores]{
		files: []string{"cpu.cfs_quota_us", "cpu.cfs_period_us"}, unset: texts(-1, cpuPeriod),
		encode: func(c spec.Cores, _ spec.Resources) ([]string, error) {
			if c.IsMax() {
				return texts(-1, cpuPeriod), nil
			}
			quota, period := cpuQuota(c)
			return texts(int64(quota), period), nil
		},
		decode: func(texts []string) (spec.Cores, error) { return parseCPU(texts[0], texts[1]) },
	}
}

// cpuWeight is cpu.weight, 1 to 10000.
func cpuWeight() *codec[uint64] {
	return &codec[uint64]{
		files: []string{"cpu.weight"}, unset: []string{"100"},
		encode: func(w uint64, _ spec.Resources) ([]string, error) { return []string{strconv.FormatUint(w, 10)}, nil },
		decode: func(texts []string) (uint64, error) { return strconv.ParseUint(texts[0], 10, 64) },
	}
}

// v1CPUShares converts a weight linearly, 100 being 1024 shares: what v2 itself does inside the kernel
// (kernel/sched: sched_weight_from_cgroup), so that a weight means the same share on both.
func v1CPUShares() *codec[uint64] {
	return &codec[uint64]{
		files: []string{"cpu.shares"}, unset: []string{"1024"},
		encode: func(w uint64, _ spec.Resources) ([]string, error) {
			return []string{strconv.FormatUint((w*1024+50)/100, 10)}, nil
		},
		decode: func(texts []string) (uint64, error) {
			shares, err := strconv.ParseUint(texts[0], 10, 32)
			return (shares*100 + 512) / 1024, err
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
	slices.SortFunc(spans, func(a, b span) int { return int(a.first) - int(b.first) })
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
