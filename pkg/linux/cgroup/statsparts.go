package cgroup

import (
	"os"
	"strings"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// statsPart is what one controller counts: files and what becomes of their texts, in each version of the hierarchy.
type statsPart struct {
	controllers []string // by any of its names; none for the files that every v2 cgroup has
	v2, v1      []figure
}

// figure is one file.
type figure struct {
	file string
	take func(s *spec.Stats, text []byte)
}

// statsParts are all parts. Processor time and pressure are counted by every cgroup of the unified hierarchy, whatever its controllers.
//
// v1 counts kills and limits met in the group itself, v2 those in cgroups below it as well (cgroup-v2.rst, memory.events), unless the
// file system is mounted with memory_localevents.
var statsParts = sync.OnceValue(func() []statsPart {
	return []statsPart{
		{v2: []figure{
			{"cpu.stat", keyedFigure(cpuKeys)},
			{"cpu.pressure", psiFigure(func(p *spec.PressureStats) *spec.PSI { return &p.CPU })},
			{"memory.pressure", psiFigure(func(p *spec.PressureStats) *spec.PSI { return &p.Memory })},
			{"io.pressure", psiFigure(func(p *spec.PressureStats) *spec.PSI { return &p.IO })},
		}},
		{[]string{"cpu"}, nil, []figure{{"cpu.stat", keyedFigure(cpuKeys)}}},
		{[]string{"memory"}, memoryV2, memoryV1},
		{[]string{"pids"}, pidsFigures, pidsFigures},
		{[]string{"io", "blkio"}, []figure{{"io.stat", ioStat}}, []figure{
			{"blkio.throttle.io_service_bytes_recursive", blkioStat(func(d *spec.DeviceStats) (r, w, x *uint64) { return &d.RBytes, &d.WBytes, &d.DBytes })},
			{"blkio.throttle.io_serviced_recursive", blkioStat(func(d *spec.DeviceStats) (r, w, x *uint64) { return &d.RIOs, &d.WIOs, &d.DIOs })},
		}},
		{[]string{"hugetlb"}, hugetlbFigures(hugetlbV2), hugetlbFigures(hugetlbV1)},
	}
})

// cpuKeys are the keys of cpu.stat; those that end in _time are v1's, in nanoseconds.
var cpuKeys = map[string]func(s *spec.Stats, n uint64){
	"usage_usec":     func(s *spec.Stats, n uint64) { cpuOf(s).UsageUsec = n },
	"user_usec":      func(s *spec.Stats, n uint64) { cpuOf(s).UserUsec = n },
	"system_usec":    func(s *spec.Stats, n uint64) { cpuOf(s).SystemUsec = n },
	"nr_periods":     func(s *spec.Stats, n uint64) { cpuOf(s).NrPeriods = n },
	"nr_throttled":   func(s *spec.Stats, n uint64) { cpuOf(s).NrThrottled = n },
	"throttled_usec": func(s *spec.Stats, n uint64) { cpuOf(s).ThrottledUsec = n },
	"throttled_time": func(s *spec.Stats, n uint64) { cpuOf(s).ThrottledUsec = n / 1000 },
	"nr_bursts":      func(s *spec.Stats, n uint64) { cpuOf(s).NrBursts = n },
	"burst_usec":     func(s *spec.Stats, n uint64) { cpuOf(s).BurstUsec = n },
	"burst_time":     func(s *spec.Stats, n uint64) { cpuOf(s).BurstUsec = n / 1000 },
}

var memoryV2 = []figure{
	{"memory.current", numberFigure(func(s *spec.Stats) *uint64 { return &memoryOf(s).Current })},
	{"memory.peak", numberFigure(func(s *spec.Stats) *uint64 { return &memoryOf(s).Peak })},
	{"memory.max", limitFigure(func(s *spec.Stats) *spec.Limit { return &memoryOf(s).Max }, parseLimit)},
	{"memory.swap.current", numberFigure(func(s *spec.Stats) *uint64 { return &memoryOf(s).SwapCurrent })},
	{"memory.swap.max", limitFigure(func(s *spec.Stats) *spec.Limit { return &memoryOf(s).SwapMax }, parseLimit)},
	{"memory.stat", keyedFigure(memoryKeys("", "anon", "file"))},
	{"memory.events", keyedFigure(map[string]func(s *spec.Stats, n uint64){
		"low":            func(s *spec.Stats, n uint64) { memoryOf(s).Events.Low = n },
		"high":           func(s *spec.Stats, n uint64) { memoryOf(s).Events.High = n },
		"max":            func(s *spec.Stats, n uint64) { memoryOf(s).Events.Max = n },
		"oom":            func(s *spec.Stats, n uint64) { memoryOf(s).Events.OOM = n },
		"oom_kill":       func(s *spec.Stats, n uint64) { memoryOf(s).Events.OOMKill = n },
		"oom_group_kill": func(s *spec.Stats, n uint64) { memoryOf(s).Events.OOMGroupKill = n },
	})},
}

var memoryV1 = []figure{
	{"memory.usage_in_bytes", numberFigure(func(s *spec.Stats) *uint64 { return &memoryOf(s).Current })},
	{"memory.max_usage_in_bytes", numberFigure(func(s *spec.Stats) *uint64 { return &memoryOf(s).Peak })},
	{"memory.limit_in_bytes", limitFigure(func(s *spec.Stats) *spec.Limit { return &memoryOf(s).Max }, parseV1Pages)},
	{"memory.memsw.limit_in_bytes", swapMaxV1},
	{"memory.stat", keyedFigure(memoryKeys("total_", "rss", "cache"))},
	{"memory.kmem.usage_in_bytes", numberFigure(func(s *spec.Stats) *uint64 { return &memoryOf(s).Kernel })},
	{"memory.kmem.tcp.usage_in_bytes", numberFigure(func(s *spec.Stats) *uint64 { return &memoryOf(s).Sock })},
	{"memory.failcnt", numberFigure(func(s *spec.Stats) *uint64 { return &memoryOf(s).Events.Max })},
	{"memory.oom_control", keyedFigure(map[string]func(s *spec.Stats, n uint64){
		"oom_kill": func(s *spec.Stats, n uint64) { memoryOf(s).Events.OOMKill = n },
	})},
}

// memoryKeys are the keys of memory.stat, whose words differ a little: v1 counts descendants in keys with a prefix. pagetables and
// the like are parts of kernel.
func memoryKeys(prefix, anon, file string) map[string]func(s *spec.Stats, n uint64) {
	keys := map[string]func(s *spec.Stats, n uint64){}
	for key, leaf := range map[string]func(m *spec.MemoryStats) *uint64{
		anon: func(m *spec.MemoryStats) *uint64 { return &m.Anon },
		file: func(m *spec.MemoryStats) *uint64 { return &m.File },

		"kernel": func(m *spec.MemoryStats) *uint64 { return &m.Kernel },
		"slab":   func(m *spec.MemoryStats) *uint64 { return &m.Slab },
		"sock":   func(m *spec.MemoryStats) *uint64 { return &m.Sock },
		"shmem":  func(m *spec.MemoryStats) *uint64 { return &m.Shmem },
		"swap":   func(m *spec.MemoryStats) *uint64 { return &m.SwapCurrent },

		"file_mapped":    func(m *spec.MemoryStats) *uint64 { return &m.FileMapped },
		"mapped_file":    func(m *spec.MemoryStats) *uint64 { return &m.FileMapped },
		"file_dirty":     func(m *spec.MemoryStats) *uint64 { return &m.FileDirty },
		"dirty":          func(m *spec.MemoryStats) *uint64 { return &m.FileDirty },
		"file_writeback": func(m *spec.MemoryStats) *uint64 { return &m.FileWriteback },
		"writeback":      func(m *spec.MemoryStats) *uint64 { return &m.FileWriteback },
		"inactive_file":  func(m *spec.MemoryStats) *uint64 { return &m.InactiveFile },
		"pgfault":        func(m *spec.MemoryStats) *uint64 { return &m.Pgfault },
		"pgmajfault":     func(m *spec.MemoryStats) *uint64 { return &m.Pgmajfault },
	} {
		keys[prefix+key] = func(s *spec.Stats, n uint64) { *leaf(memoryOf(s)) = n }
	}
	return keys
}

// swapMaxV1 is what may be swapped out beside memory; it follows memory.limit_in_bytes.
func swapMaxV1(s *spec.Stats, text []byte) {
	both, err := parseV1Pages(string(trim(text)))
	m := memoryOf(s)
	switch {
	case err != nil:
	case both.IsMax() || m.Max.IsMax() || m.Max.IsZero():
		m.SwapMax = both
	default:
		m.SwapMax = spec.NewLimit(both.Value() - min(m.Max.Value(), both.Value()))
	}
}

var pidsFigures = []figure{
	{"pids.current", numberFigure(func(s *spec.Stats) *uint64 { return &pidsOf(s).Current })},
	{"pids.peak", numberFigure(func(s *spec.Stats) *uint64 { return &pidsOf(s).Peak })},
	{"pids.max", limitFigure(func(s *spec.Stats) *spec.Limit { return &pidsOf(s).Max }, parseLimit)},
}

// hugetlbFile is a file of each size of huge pages, and where its number goes.
type hugetlbFile struct {
	suffix string
	take   func(h *spec.HugetlbStats, text []byte)
}

var (
	hugetlbV2 = []hugetlbFile{
		{"current", func(h *spec.HugetlbStats, text []byte) { h.Current, _ = digits(trim(text)) }},
		{"max", func(h *spec.HugetlbStats, text []byte) { h.Max, _ = parseV1Pages(string(trim(text))) }}, // some sizes say pageMax for max
		{"events", func(h *spec.HugetlbStats, text []byte) {
			eachPair(text, func(key []byte, n uint64) {
				if string(key) == "max" {
					h.Failures = n
				}
			})
		}},
	}
	hugetlbV1 = []hugetlbFile{
		{"usage_in_bytes", func(h *spec.HugetlbStats, text []byte) { h.Current, _ = digits(trim(text)) }},
		{"max_usage_in_bytes", func(h *spec.HugetlbStats, text []byte) { h.Peak, _ = digits(trim(text)) }},
		{"limit_in_bytes", func(h *spec.HugetlbStats, text []byte) { h.Max, _ = parseV1Pages(string(trim(text))) }},
		{"failcnt", func(h *spec.HugetlbStats, text []byte) { h.Failures, _ = digits(trim(text)) }},
	}
)

// hugetlbFigures are the files of every size this machine has.
func hugetlbFigures(files []hugetlbFile) (figures []figure) {
	for _, size := range hugePages("/sys/kernel/mm/hugepages") {
		for _, f := range files {
			figures = append(figures, figure{"hugetlb." + size + "." + f.suffix, func(s *spec.Stats, text []byte) {
				f.take(hugetlbOf(s, size), text)
			}})
		}
	}
	return figures
}

// hugePages are the sizes in a directory such as hugepages-2048kB as the cgroup files name them: 2MB (hugetlb_cgroup.c, mem_fmt).
func hugePages(dir string) (sizes []string) {
	entries, _ := os.ReadDir(dir) // none without huge pages
	for _, e := range entries {
		kilo, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), "kB"), "hugepages-")
		n, valid := digits([]byte(kilo))
		if !ok || !valid {
			continue
		}
		unit := "KB"
		for _, larger := range []string{"MB", "GB"} {
			if n >= 1024 {
				n, unit = n/1024, larger
			}
		}
		sizes = append(sizes, decimal(n)+unit)
	}
	return sizes
}
