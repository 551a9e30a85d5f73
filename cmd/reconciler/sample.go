package main

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// sample is what a container uses at one moment: its counters, and what they came to since the look before.
type sample struct {
	spec.Stats
	// rated tells whether there was a look before. Without, what follows is 0.
	rated bool
	cpu   float64 // percent of one processor
	// Bytes a second.
	rx, tx, read, write float64
}

// samplesOf are the samples of a list, given the one before.
func samplesOf(list api.StatsList, before map[string]spec.Stats) []sample {
	samples := make([]sample, 0, len(list.Items))
	for _, s := range list.Items {
		samples = append(samples, sampleOf(before[s.Name], s))
	}
	return samples
}

// sampleOf compares two looks. Those at different instances have nothing to do with each other.
func sampleOf(before, now spec.Stats) sample {
	l := sample{Stats: now}
	passed := now.Time.Sub(before.Time)
	if before.Name == "" || before.Instance != now.Instance || passed <= 0 {
		return l
	}
	l.rated = true
	rate := func(of func(spec.Stats) uint64) float64 { return grown(of(before), of(now)) / passed.Seconds() }
	l.cpu = rate(cpuUsec) * 100 / 1e6
	l.rx, l.tx = rate(received), rate(sent)
	l.read, l.write = rate(readBytes), rate(writtenBytes)
	return l
}

// grown is how much a counter grew; one that is smaller than before began anew.
func grown(before, now uint64) float64 {
	if now < before {
		return float64(now)
	}
	return float64(now - before)
}

func cpuUsec(s spec.Stats) uint64 {
	if s.CPU == nil {
		return 0
	}
	return s.CPU.UsageUsec
}

// ownNetwork is the network without the loopback, over which a container speaks to itself.
func ownNetwork(s spec.Stats) []spec.InterfaceStats {
	return slices.DeleteFunc(slices.Clone(s.Network), func(i spec.InterfaceStats) bool { return i.Name == "lo" })
}

func received(s spec.Stats) uint64 {
	return sum(ownNetwork(s), func(i spec.InterfaceStats) uint64 { return i.RxBytes })
}

func sent(s spec.Stats) uint64 {
	return sum(ownNetwork(s), func(i spec.InterfaceStats) uint64 { return i.TxBytes })
}

func readBytes(s spec.Stats) uint64 {
	return sum(s.IO, func(d spec.DeviceStats) uint64 { return d.RBytes })
}

func writtenBytes(s spec.Stats) uint64 {
	return sum(s.IO, func(d spec.DeviceStats) uint64 { return d.WBytes })
}

func sum[T any](list []T, of func(T) uint64) (all uint64) {
	for _, item := range list {
		all += of(item)
	}
	return all
}

func (l sample) memory() uint64 {
	if l.Memory == nil {
		return 0
	}
	return l.Memory.WorkingSet()
}

func (l sample) pids() uint64 {
	if l.Pids == nil {
		return 0
	}
	return l.Pids.Current
}

// orders are what samples can be sorted by, the largest first; names are the other way round.
var orders = map[string]func(a, b sample) int{
	"cpu": func(a, b sample) int {
		return cmp.Or(cmp.Compare(b.cpu, a.cpu), cmp.Compare(cpuUsec(b.Stats), cpuUsec(a.Stats)))
	},
	"memory": func(a, b sample) int { return cmp.Compare(b.memory(), a.memory()) },
	"pids":   func(a, b sample) int { return cmp.Compare(b.pids(), a.pids()) },
	"net":    func(a, b sample) int { return cmp.Compare(b.rx+b.tx, a.rx+a.tx) },
	"io":     func(a, b sample) int { return cmp.Compare(b.read+b.write, a.read+a.write) },
	"name":   func(a, b sample) int { return 0 },
}

var orderWords = []string{"cpu", "memory", "pids", "net", "io", "name"}

// sortSamples sorts by one of the words, and by name what is equal.
func sortSamples(samples []sample, by string) {
	sort.Slice(samples, func(i, j int) bool {
		a, b := samples[i], samples[j]
		return cmp.Or(orders[by](a, b), strings.Compare(a.Name, b.Name)) < 0
	})
}

// clockText is a length of processor time: 0.3s, 1m20s.
func clockText(usec uint64) string {
	d := time.Duration(min(usec, 1<<53)) * time.Microsecond
	if d < 10*time.Second {
		return d.Truncate(10 * time.Millisecond).String()
	}
	return short(d)
}
