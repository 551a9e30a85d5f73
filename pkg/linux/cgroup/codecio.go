package cgroup

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The weights of BFQ end at 1000 where those of io.weight end at 10000; both begin at 1 and have 100 as their default. As systemd does
// it (bfq_weight_conversion in its NEWS of 248), up to the default they are the same, and above it a line leads from one end to the other.
const (
	weightDefault = 100
	bfqStep       = (10000 - weightDefault) / (1000 - weightDefault)
)

func same(w uint64) uint64 { return w }

func toBFQ(w uint64) uint64 {
	if w <= weightDefault {
		return w
	}
	return weightDefault + (w-weightDefault)/bfqStep
}

func fromBFQ(w uint64) uint64 {
	if w <= weightDefault {
		return w
	}
	return weightDefault + (w-weightDefault)*bfqStep
}

// fromBlkio spreads v1's 10 to 1000 over 1 to 10000, as runc and crun do for OCI (crun.1, "cgroup v2").
func fromBlkio(w uint64) uint64 {
	if w < 10 {
		return 1
	}
	return min(1+(w-10)*9999/990, 10000)
}

// toBlkio is the least of v1's weights that gives one of v2.
func toBlkio(w uint64) uint64 { return leastWith(10, 1000, w, fromBlkio) }

// leastWith is the least number from low to high to which a rising function gives at least want.
func leastWith(low, high, want uint64, f func(uint64) uint64) uint64 {
	for low < high {
		if middle := (low + high) / 2; f(middle) < want {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// converted is a number whose kernel files have other scales: one function to each, and one back from the first.
func converted(files []string, unset string, back func(uint64) uint64, to ...func(uint64) uint64) *codec[uint64] {
	c := &codec[uint64]{
		files: files,
		encode: func(n uint64, _ spec.Resources) (texts []string, _ error) {
			for _, f := range to {
				texts = append(texts, strconv.FormatUint(f(n), 10))
			}
			return texts, nil
		},
		decode: func(texts []string) (uint64, error) {
			n, err := strconv.ParseUint(texts[0], 10, 64)
			return back(n), err
		},
	}
	for range files {
		c.unset = append(c.unset, unset)
	}
	return c
}

func number(file, unset string) *codec[uint64] {
	return converted([]string{file}, unset, same, same)
}

func ioWeights() *codec[uint64] {
	return converted([]string{"io.weight", "io.bfq.weight"}, "100", same, same, toBFQ).at("default")
}

func bfqWeight(file string) *codec[uint64] {
	return converted([]string{file}, "100", fromBFQ, toBFQ)
}

// cfqWeight is what v1 had before Linux 5.0: 10 to 1000, with 500 as default.
func cfqWeight() *codec[uint64] {
	return converted([]string{"blkio.weight"}, "500", fromBlkio, toBlkio)
}

func blkioAsWeights() *codec[uint64] {
	return converted([]string{"io.weight", "io.bfq.weight"}, "100", toBlkio, fromBlkio, same).at("default")
}

func blkioAsWeight() *codec[uint64] {
	return converted([]string{"io.weight"}, "100", toBlkio, fromBlkio).at("default")
}

// diskKey is the MAJOR:MINOR of a disk that a manifest names by its path or by them.
func diskKey(entry string) (string, error) {
	if !strings.HasPrefix(entry, "/") {
		return entry, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(entry, &st); err != nil {
		return "", &os.PathError{Op: "stat", Path: entry, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return "", fmt.Errorf("%s is no block device: %w", entry, fs.ErrInvalid)
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)), nil
}

func deviceWeights(file string, to, back func(uint64) uint64) *entriesCodec[uint64] {
	const none = "default"
	return &entriesCodec[uint64]{
		files: []string{file}, key: diskKey, none: []string{none},
		encode: func(_ string, w uint64) ([]string, error) { return []string{strconv.FormatUint(to(w), 10)}, nil },
		decode: func(_ string, texts []string) (uint64, error) {
			if texts[0] == none {
				return 0, nil
			}
			w, err := strconv.ParseUint(texts[0], 10, 64)
			return back(w), err
		},
	}
}

// assignments reads "rbps=max wbps=1048576".
func assignments(text string) (map[string]spec.Limit, error) {
	values := map[string]spec.Limit{}
	for _, word := range strings.Fields(text) {
		name, value, _ := strings.Cut(word, "=")
		l, err := parseLimit(value)
		if err != nil {
			return nil, err
		}
		values[name] = l
	}
	return values, nil
}

// orMax is what the kernel does with a limit that is not said.
func orMax(l spec.Limit) spec.Limit {
	if l.IsZero() {
		return spec.MaxLimit()
	}
	return l
}

func ioMax() *entriesCodec[spec.IOMax] {
	return &entriesCodec[spec.IOMax]{
		files: []string{"io.max"}, key: diskKey, none: []string{"rbps=max wbps=max riops=max wiops=max"},
		encode: func(_ string, m spec.IOMax) ([]string, error) {
			return []string{fmt.Sprintf("rbps=%s wbps=%s riops=%s wiops=%s", orMax(m.RBPS), orMax(m.WBPS), orMax(m.RIOPS), orMax(m.WIOPS))}, nil
		},
		decode: func(_ string, texts []string) (spec.IOMax, error) {
			v, err := assignments(texts[0])
			return spec.IOMax{RBPS: v["rbps"], WBPS: v["wbps"], RIOPS: v["riops"], WIOPS: v["wiops"]}, err
		},
	}
}

// v1IOMax is the same in four files, with 0 for max.
func v1IOMax() *entriesCodec[spec.IOMax] {
	const prefix = "blkio.throttle."
	text := func(l spec.Limit) string {
		if l = orMax(l); l.IsMax() {
			return "0"
		}
		return l.String()
	}
	return &entriesCodec[spec.IOMax]{
		files: []string{prefix + "read_bps_device", prefix + "write_bps_device", prefix + "read_iops_device", prefix + "write_iops_device"},
		key:   diskKey, none: []string{"0", "0", "0", "0"},
		encode: func(_ string, m spec.IOMax) ([]string, error) {
			return []string{text(m.RBPS), text(m.WBPS), text(m.RIOPS), text(m.WIOPS)}, nil
		},
		decode: func(_ string, texts []string) (m spec.IOMax, err error) {
			for i, leaf := range []*spec.Limit{&m.RBPS, &m.WBPS, &m.RIOPS, &m.WIOPS} {
				if *leaf = spec.MaxLimit(); texts[i] == "0" {
					continue
				}
				if *leaf, err = parseLimit(texts[i]); err != nil {
					return m, err
				}
			}
			return m, nil
		},
	}
}

func ioLatency() *entriesCodec[spec.Duration] {
	return &entriesCodec[spec.Duration]{
		files: []string{"io.latency"}, key: diskKey, none: []string{"target=0"},
		encode: func(_ string, d spec.Duration) ([]string, error) {
			return []string{fmt.Sprintf("target=%d", time.Duration(d).Microseconds())}, nil
		},
		decode: func(_ string, texts []string) (spec.Duration, error) {
			target, ok := strings.CutPrefix(texts[0], "target=")
			if !ok {
				return 0, fmt.Errorf("bad latency %q: %w", texts[0], fs.ErrInvalid)
			}
			return parseMicroseconds(target)
		},
	}
}
