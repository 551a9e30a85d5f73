package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The texts are the kernel's, but are read as if anybody had written them: what cannot be understood is left out.

func cpuOf(s *spec.Stats) *spec.CPUStats       { return partOf(&s.CPU) }
func memoryOf(s *spec.Stats) *spec.MemoryStats { return partOf(&s.Memory) }
func pidsOf(s *spec.Stats) *spec.PidsStats     { return partOf(&s.Pids) }

func partOf[T any](part **T) *T {
	if *part == nil {
		*part = new(T)
	}
	return *part
}

func hugetlbOf(s *spec.Stats, size string) *spec.HugetlbStats {
	if n := len(s.Hugetlb); n > 0 && s.Hugetlb[n-1].Size == size {
		return &s.Hugetlb[n-1]
	}
	s.Hugetlb = append(s.Hugetlb, spec.HugetlbStats{Size: size})
	return &s.Hugetlb[len(s.Hugetlb)-1]
}

// deviceOf is the row of a device; MAJOR:MINOR is named by /sys/dev/block where it is a device of this node.
func deviceOf(s *spec.Stats, device []byte) *spec.DeviceStats {
	for i := range s.IO {
		if s.IO[i].Device == string(device) {
			return &s.IO[i]
		}
	}
	d := spec.DeviceStats{Device: string(device)}
	if link, err := os.Readlink("/sys/dev/block/" + d.Device); err == nil {
		d.Name = filepath.Base(link)
	}
	s.IO = append(s.IO, d)
	return &s.IO[len(s.IO)-1]
}

// keyedFigure reads lines of a word and a number.
func keyedFigure(keys map[string]func(s *spec.Stats, n uint64)) func(*spec.Stats, []byte) {
	return func(s *spec.Stats, text []byte) {
		eachPair(text, func(key []byte, n uint64) {
			if set := keys[string(key)]; set != nil {
				set(s, n)
			}
		})
	}
}

func numberFigure(leaf func(*spec.Stats) *uint64) func(*spec.Stats, []byte) {
	return func(s *spec.Stats, text []byte) { *leaf(s), _ = digits(trim(text)) }
}

func limitFigure(leaf func(*spec.Stats) *spec.Limit, parse func(string) (spec.Limit, error)) func(*spec.Stats, []byte) {
	return func(s *spec.Stats, text []byte) {
		if l, err := parse(string(trim(text))); err == nil {
			*leaf(s) = l
		}
	}
}

// psiFigure reads a pressure file: "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and the same with full (psi.rst).
func psiFigure(leaf func(*spec.PressureStats) *spec.PSI) func(*spec.Stats, []byte) {
	return func(s *spec.Stats, text []byte) { parsePSI(text, leaf(partOf(&s.Pressure))) }
}

func parsePSI(text []byte, psi *spec.PSI) {
	eachLine(text, func(line []byte) {
		kind, rest, _ := cut(line, ' ')
		var l *spec.PSILine
		switch string(kind) {
		case "some":
			l = &psi.Some
		case "full":
			l = &psi.Full
		default:
			return
		}
		eachAssignment(rest, func(key, value []byte) {
			switch string(key) {
			case "avg10":
				l.Avg10 = hundredths(value)
			case "avg60":
				l.Avg60 = hundredths(value)
			case "avg300":
				l.Avg300 = hundredths(value)
			case "total":
				l.TotalUsec, _ = digits(value)
			}
		})
	})
}

// ioStat reads io.stat: "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6", of a device without figures only its number.
func ioStat(s *spec.Stats, text []byte) {
	eachLine(text, func(line []byte) {
		device, rest, _ := cut(line, ' ')
		if !slices.Contains(rest, '=') {
			return
		}
		d := deviceOf(s, device)
		eachAssignment(rest, func(key, value []byte) {
			n, _ := digits(value)
			switch string(key) {
			case "rbytes":
				d.RBytes = n
			case "wbytes":
				d.WBytes = n
			case "rios":
				d.RIOs = n
			case "wios":
				d.WIOs = n
			case "dbytes":
				d.DBytes = n
			case "dios":
				d.DIOs = n
			}
		})
	})
}

// blkioStat reads lines such as "254:0 Read 4096" of a v1 file.
func blkioStat(leaves func(*spec.DeviceStats) (read, write, discard *uint64)) func(*spec.Stats, []byte) {
	return func(s *spec.Stats, text []byte) {
		eachLine(text, func(line []byte) {
			device, rest, _ := cut(line, ' ')
			if !slices.Contains(device, ':') { // the total of all devices
				return
			}
			eachPair(rest, func(key []byte, n uint64) {
				read, write, discard := leaves(deviceOf(s, device))
				switch string(key) {
				case "Read":
					*read = n
				case "Write":
					*write = n
				case "Discard":
					*discard = n
				}
			})
		})
	}
}

// trim is a text without white space around it.
func trim(text []byte) []byte {
	for len(text) > 0 && text[0] <= ' ' {
		text = text[1:]
	}
	for len(text) > 0 && text[len(text)-1] <= ' ' {
		text = text[:len(text)-1]
	}
	return text
}

func cut(text []byte, mark byte) (before, after []byte, found bool) {
	if i := slices.Index(text, mark); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, nil, false
}

func eachLine(text []byte, f func(line []byte)) {
	for len(text) > 0 {
		var line []byte
		line, text, _ = cut(text, '\n')
		if line = trim(line); len(line) > 0 {
			f(line)
		}
	}
}

// eachPair calls f for each line of a word and a number (cgroup-v2.rst, flat keyed).
func eachPair(text []byte, f func(key []byte, n uint64)) {
	eachLine(text, func(line []byte) {
		key, value, _ := cut(line, ' ')
		if n, ok := digits(value); ok {
			f(key, n)
		}
	})
}

// eachAssignment calls f for each KEY=VALUE of a line (cgroup-v2.rst, nested keyed).
func eachAssignment(line []byte, f func(key, value []byte)) {
	for len(line) > 0 {
		var word []byte
		word, line, _ = cut(line, ' ')
		if key, value, ok := cut(word, '='); ok {
			f(key, value)
		}
	}
}

// digits reads digits without making a string of them; more than 64 bits is no number.
func digits(text []byte) (n uint64, ok bool) {
	for _, c := range text {
		digit := uint64(c) - '0'
		if digit > 9 || n > (math.MaxUint64-digit)/10 {
			return 0, false
		}
		n = 10*n + digit
	}
	return n, len(text) > 0
}

// hundredths reads a number with two decimals, as the kernel prints averages.
func hundredths(text []byte) float64 {
	whole, part, _ := cut(text, '.')
	n, ok1 := digits(whole)
	m, ok2 := digits(part)
	if !ok1 || !ok2 || len(part) != 2 {
		return 0
	}
	return float64(100*n+m) / 100
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }
