package cgroup

import (
	"cmp"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Processor time is a quota of microseconds in every period. The kernel takes no quota below a
// millisecond, so small limits get the longest period unless one is said; the smallest limit is a thousandth of a processor.
const (
	cpuPeriodDefault = 100_000
	cpuPeriodMax     = 1_000_000
	cpuQuotaMin      = 1_000
)

// cpuQuota gives the quota and the period of what is said; the quota of no limit is 0. A limit of whole millionths of a processor and a
// period of at most a second determine the quota: any pair of them that the kernel takes can be said.
func cpuQuota(c spec.CPU) (quota, period uint64, err error) {
	period = uint64(time.Duration(c.Period).Microseconds())
	switch {
	case c.Max.IsZero() || c.Max.IsMax():
		return 0, cmp.Or(period, cpuPeriodDefault), nil
	case period == 0:
		if quota = c.Max.Micro() / (1_000_000 / cpuPeriodDefault); quota >= cpuQuotaMin {
			return quota, cpuPeriodDefault, nil
		}
		return max(c.Max.Micro(), cpuQuotaMin), cpuPeriodMax, nil
	}
	if quota = (c.Max.Micro()*period + 500_000) / 1_000_000; quota < cpuQuotaMin {
		return 0, 0, fmt.Errorf("%d us in %d us are less than the kernel's least, 1 ms: %w\nhint: set a longer cpu.period", quota, period, fs.ErrInvalid)
	}
	return quota, period, nil
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
	return spec.NewCores((q*1_000_000 + p/2) / p), nil
}

// cpuMaxText is cpu.max: "QUOTA PERIOD" or "max PERIOD".
func cpuMaxText(c spec.CPU) ([]string, error) {
	quota, period, err := cpuQuota(c)
	if quota == 0 {
		return []string{fmt.Sprintf("max %d", period)}, err
	}
	return []string{fmt.Sprintf("%d %d", quota, period)}, err
}

func cpuMax() *codec[spec.Cores] {
	return &codec[spec.Cores]{
		files: []string{"cpu.max"}, unset: []string{fmt.Sprintf("max %d", cpuPeriodDefault)},
		encode: func(_ spec.Cores, all spec.Resources) ([]string, error) { return cpuMaxText(all.CPU) },
		decode: func(texts []string) (spec.Cores, error) {
			quota, period, _ := strings.Cut(texts[0], " ")
			return parseCPU(quota, period)
		},
	}
}

// cpuPeriod is the second half of the same file.
func cpuPeriod() *codec[spec.Duration] {
	return &codec[spec.Duration]{
		related: []string{"cpu.max"},
		encode:  func(_ spec.Duration, all spec.Resources) ([]string, error) { return cpuMaxText(all.CPU) },
		decode: func(texts []string) (spec.Duration, error) {
			_, period, _ := strings.Cut(texts[0], " ")
			return parseMicroseconds(period)
		},
	}
}

// v1CPUTexts are the same in two files; the quota is -1 for max.
func v1CPUTexts(c spec.CPU) ([]string, error) {
	quota, period, err := cpuQuota(c)
	texts := []string{strconv.FormatUint(quota, 10), strconv.FormatUint(period, 10)}
	if quota == 0 {
		texts[0] = "-1"
	}
	return texts, err
}

func v1CPUMax() *codec[spec.Cores] {
	return &codec[spec.Cores]{
		files: []string{"cpu.cfs_quota_us", "cpu.cfs_period_us"}, unset: []string{"-1", strconv.Itoa(cpuPeriodDefault)},
		encode: func(_ spec.Cores, all spec.Resources) ([]string, error) { return v1CPUTexts(all.CPU) },
		decode: func(texts []string) (spec.Cores, error) { return parseCPU(texts[0], texts[1]) },
	}
}

func v1CPUPeriod() *codec[spec.Duration] {
	return &codec[spec.Duration]{
		related: []string{"cpu.cfs_quota_us", "cpu.cfs_period_us"},
		encode:  func(_ spec.Duration, all spec.Resources) ([]string, error) { return v1CPUTexts(all.CPU) },
		decode:  func(texts []string) (spec.Duration, error) { return parseMicroseconds(texts[1]) },
	}
}

func parseMicroseconds(text string) (spec.Duration, error) {
	n, err := strconv.ParseUint(text, 10, 43)
	return spec.Duration(time.Duration(n) * time.Microsecond), err
}

// microseconds is a length of time in one file.
func microseconds(file, unset string) *codec[spec.Duration] {
	return &codec[spec.Duration]{
		files: []string{file}, unset: []string{unset},
		encode: func(d spec.Duration, _ spec.Resources) ([]string, error) {
			return []string{strconv.FormatInt(time.Duration(d).Microseconds(), 10)}, nil
		},
		decode: func(texts []string) (spec.Duration, error) { return parseMicroseconds(texts[0]) },
	}
}

// percent is a share of a processor's capacity, which the kernel prints with two places, or max (sched/core.c, cpu_uclamp_print).
func percent(file, unset string) *codec[string] {
	return &codec[string]{
		files: []string{file}, unset: []string{unset},
		encode: func(s string, _ spec.Resources) ([]string, error) {
			whole, fraction, _ := strings.Cut(s, ".")
			n, err := strconv.ParseUint(whole, 10, 8)
			switch {
			case s == "max" || n == 100:
				return []string{"max"}, nil
			case err != nil || n > 100 || len(fraction) > 2:
				return nil, fmt.Errorf("%q is no percentage of at most two places: %w", s, fs.ErrInvalid)
			}
			return []string{fmt.Sprintf("%d.%s", n, (fraction + "00")[:2])}, nil
		},
		decode: func(texts []string) (string, error) { return texts[0], nil },
	}
}

func cpuWeight() *codec[uint64] { return number("cpu.weight", "100") }

// v1CPUShares converts a weight linearly, 100 being 1024 shares: what v2 itself does inside the kernel
// (kernel/sched: sched_weight_from_cgroup), so that a weight means the same share on both.
func v1CPUShares() *codec[uint64] {
	return converted([]string{"cpu.shares"}, "1024",
		func(shares uint64) uint64 { return (shares*100 + 512) / 1024 },
		func(weight uint64) uint64 { return (weight*1024 + 50) / 100 })
}

// sharesToWeight is how runc (since 1.3.2) and crun (since 1.23) convert an OCI container's shares, 2 to 262144: a curve through the ends
// and the defaults of both, 1024 and 100.
func sharesToWeight(shares uint64) uint64 {
	switch {
	case shares <= 2:
		return 1
	case shares >= 262144:
		return 10000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

// WeightOfShares is the weight that v2 gets for v1's shares; 0 for none.
func WeightOfShares(shares uint64) uint64 {
	if shares == 0 {
		return 0
	}
	return sharesToWeight(shares)
}

// cpuSharesAsWeight converts shares for v2; what is read back is the least number of shares with the same weight.
func cpuSharesAsWeight() *codec[uint64] {
	return converted([]string{"cpu.weight"}, "100",
		func(weight uint64) uint64 { return leastWith(2, 262144, weight, sharesToWeight) }, sharesToWeight)
}
