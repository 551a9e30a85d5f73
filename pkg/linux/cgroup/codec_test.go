package cgroup

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func rowOf(t *testing.T, key string) row {
	t.Helper()
	i := slices.IndexFunc(table, func(r row) bool { return r.key == key })
	if i < 0 {
		t.Fatalf("no row %s", key)
	}
	return table[i]
}

// Each value, the text of each file on v2 and on v1, and the value that is read back from them.
func TestCodecs(t *testing.T) {
	page := uint64(os.Getpagesize())
	text := func(n uint64) string { return strconv.FormatUint(n, 10) }
	memory := func(l spec.Limit) (r spec.Resources) { r.Memory.Max = l; return r }
	swap := func(max, swap spec.Limit) (r spec.Resources) { r.Memory.Max, r.Memory.Swap = max, swap; return r }
	cpu := func(micro uint64) (r spec.Resources) { r.CPU.Max = spec.NewCores(micro); return r }
	weight := func(w uint64) (r spec.Resources) { r.CPU.Weight = w; return r }
	cpus := func(s string) (r spec.Resources) { r.Cpuset.Cpus = s; return r }
	quota := func(micro uint64, period time.Duration) (r spec.Resources) {
		r.CPU.Max, r.CPU.Period = spec.NewCores(micro), spec.Duration(period)
		return r
	}
	period := func(d time.Duration) (r spec.Resources) { r.CPU.Period = spec.Duration(d); return r }
	shares := func(n uint64) (r spec.Resources) { r.CPU.Shares = n; return r }
	uclamp := func(s string) (r spec.Resources) { r.CPU.UclampMin = s; return r }
	ioWeight := func(n uint64) (r spec.Resources) { r.IO.Weight = n; return r }
	blkio := func(n uint64) (r spec.Resources) { r.IO.BlkioWeight = n; return r }
	disk := func(m spec.IOMax) (r spec.Resources) { r.IO.Max = map[string]spec.IOMax{"254:0": m}; return r }
	huge := func(size string, l spec.Limit) (r spec.Resources) {
		r.Hugetlb.Max = map[string]spec.Limit{size: l}
		return r
	}
	rdma := func(m spec.RDMAMax) (r spec.Resources) { r.RDMA.Max = map[string]spec.RDMAMax{"mlx4_0": m}; return r }
	unlimited := spec.IOMax{RBPS: spec.MaxLimit(), WBPS: spec.MaxLimit(), RIOPS: spec.MaxLimit(), WIOPS: spec.MaxLimit()}
	half := unlimited
	half.WBPS, half.RIOPS = spec.NewLimit(1<<20), spec.NewLimit(7)
	maxCPU := spec.Resources{CPU: spec.CPU{Max: spec.MaxCores()}}
	tests := []struct {
		key        string
		said, kept spec.Resources
		v2, v1     []string
	}{
		{"memory.max", memory(spec.NewLimit(64*page + 1)), memory(spec.NewLimit(64 * page)), []string{text(64 * page)}, []string{text(64 * page)}},
		{"memory.max", memory(spec.NewLimit(page - 1)), memory(spec.NewLimit(0)), []string{"0"}, []string{"0"}},
		{"memory.max", memory(spec.MaxLimit()), memory(spec.MaxLimit()), []string{"max"}, []string{text(pageMax)}},
		{"memory.max", memory(spec.NewLimit(1<<63 - 1)), memory(spec.MaxLimit()), []string{"max"}, []string{text(pageMax)}},
		{"memory.swap", swap(spec.NewLimit(4*page), spec.NewLimit(2*page)), swap(spec.Limit{}, spec.NewLimit(2*page)), []string{text(2 * page)}, []string{text(6 * page), text(4 * page)}},
		{"memory.swap", swap(spec.NewLimit(4*page), spec.NewLimit(0)), swap(spec.Limit{}, spec.NewLimit(0)), []string{"0"}, []string{text(4 * page), text(4 * page)}},
		{"memory.swap", swap(spec.Limit{}, spec.MaxLimit()), swap(spec.Limit{}, spec.MaxLimit()), []string{"max"}, []string{text(pageMax), text(pageMax)}},
		{"cpu.max", cpu(1_500_000), cpu(1_500_000), []string{"150000 100000"}, []string{"150000", "100000"}},
		{"cpu.max", cpu(10_009), cpu(10_000), []string{"1000 100000"}, []string{"1000", "100000"}},
		{"cpu.max", cpu(9_999), cpu(9_999), []string{"9999 1000000"}, []string{"9999", "1000000"}},
		{"cpu.max", cpu(1), cpu(1_000), []string{"1000 1000000"}, []string{"1000", "1000000"}},
		{"cpu.max", maxCPU, maxCPU, []string{"max 100000"}, []string{"-1", "100000"}},
		{"cpu.max", quota(333_330, 100*time.Millisecond), cpu(333_330), []string{"33333 100000"}, []string{"33333", "100000"}},
		{"cpu.max", quota(333_333, 30*time.Millisecond), cpu(333_333), []string{"10000 30000"}, []string{"10000", "30000"}},
		{"cpu.period", quota(333_333, 30*time.Millisecond), period(30 * time.Millisecond), []string{"10000 30000"}, []string{"10000", "30000"}},
		{"cpu.period", period(50 * time.Millisecond), period(50 * time.Millisecond), []string{"max 50000"}, []string{"-1", "50000"}},
		{"cpu.shares", shares(1024), shares(1012), []string{"100"}, nil},
		{"cpu.shares", shares(2), shares(2), []string{"1"}, nil},
		{"cpu.shares", shares(262144), shares(262115), []string{"10000"}, nil},
		{"cpu.uclampMin", uclamp("12.5"), uclamp("12.50"), []string{"12.50"}, []string{"12.50"}},
		{"cpu.uclampMin", uclamp("100"), uclamp("max"), []string{"max"}, []string{"max"}},
		{"io.weight", ioWeight(100), ioWeight(100), []string{"100", "100"}, []string{"100"}},
		{"io.weight", ioWeight(10000), ioWeight(10000), []string{"10000", "1000"}, []string{"1000"}},
		{"io.blkioWeight", blkio(10), blkio(10), []string{"1", "10"}, []string{"10"}},
		{"io.blkioWeight", blkio(1000), blkio(1000), []string{"10000", "1000"}, []string{"1000"}},
		{"io.max", disk(spec.IOMax{WBPS: spec.NewLimit(1 << 20), RIOPS: spec.NewLimit(7)}), disk(half), []string{"rbps=max wbps=1048576 riops=7 wiops=max"}, []string{"0", "1048576", "7", "0"}},
		{"hugetlb.max", huge("2MB", spec.NewLimit(5<<20)), huge("2MB", spec.NewLimit(4<<20)), []string{"4194304"}, []string{"4194304"}},
		{"hugetlb.max", huge("1GB", spec.NewLimit(1<<63-1<<30)), huge("1GB", spec.MaxLimit()), []string{"max"}, []string{"-1"}},
		{"rdma.max", rdma(spec.RDMAMax{HCAHandle: spec.NewLimit(2)}), rdma(spec.RDMAMax{HCAHandle: spec.NewLimit(2), HCAObject: spec.MaxLimit()}), []string{"hca_handle=2 hca_object=max"}, []string{"hca_handle=2 hca_object=max"}},
		{"cpu.weight", weight(100), weight(100), []string{"100"}, []string{"1024"}},
		{"cpu.weight", weight(1), weight(1), []string{"1"}, []string{"10"}},
		{"cpu.weight", weight(10000), weight(10000), []string{"10000"}, []string{"102400"}},
		{"cpuset.cpus", cpus("3,0-1, 2"), cpus("0-3"), []string{"0-3"}, []string{"0-3"}},
		{"cpuset.cpus", cpus("8,0-1,4-6,5-9"), cpus("0-1,4-9"), []string{"0-1,4-9"}, []string{"0-1,4-9"}},
	}
	for _, test := range tests {
		r := rowOf(t, test.key)
		for _, side := range []struct {
			version string
			*store
			want []string
		}{{"v2", r.v2, test.v2}, {"v1", r.v1, test.v1}} {
			if side.want == nil {
				continue
			}
			settings, err := side.encode(test.said)
			if texts := textsOf(settings); err != nil || !slices.Equal(texts, side.want) {
				t.Errorf("%s on %s of %+v: %q, %v; want %q", test.key, side.version, test.said, texts, err, side.want)
				continue
			}
			var kept spec.Resources
			if err := side.decode(settings, &kept); err != nil || !kept.Equal(test.kept) {
				t.Errorf("%s on %s from %+v: %+v, %v; want %+v", test.key, side.version, settings, kept, err, test.kept)
			}
		}
	}
}

func TestEveryWeightSurvivesV1(t *testing.T) {
	r := rowOf(t, "cpu.weight")
	for w := uint64(1); w <= 10000; w++ {
		var said, kept spec.Resources
		said.CPU.Weight = w
		texts, _ := r.v1.encode(said)
		if err := r.v1.decode(texts, &kept); err != nil || !kept.Equal(said) {
			t.Fatalf("weight %d comes back as %d from %q (%v)", w, kept.CPU.Weight, textsOf(texts), err)
		}
	}
}

func TestRefusedValues(t *testing.T) {
	var swapAlone spec.Resources
	swapAlone.Memory.Swap = spec.NewLimit(1 << 20)
	if _, err := rowOf(t, "memory.swap").v1.encode(swapAlone); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("swap without memory.max on v1: %v", err)
	}
	for _, list := range []string{"a", "3-1", "1-", "-1", "0,,1", "1-2-3", "70000", "0-3:1/2", " "} {
		var r spec.Resources
		r.Cpuset.Mems = list
		if texts, err := rowOf(t, "cpuset.mems").v2.encode(r); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("list %q: %q, %v", list, textsOf(texts), err)
		}
	}
}

// What a kernel file may hold, broken ones included, never panics, and what is read survives a round trip.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		"max", "0", "4096", "-1", "max 100000", "150000 100000", "0-3,8", "9223372036854771712", "", "1 0", "x", "12.50", "default",
		"rbps=1 wbps=max riops=2 wiops=max", "hca_handle=2 hca_object=max", "target=75000",
	} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		for _, r := range table {
			for _, s := range []*store{r.v2, r.v1} {
				for ; s != nil; s = s.next {
					roundTrip(t, r, s, first, second)
				}
			}
		}
	})
}

func roundTrip(t *testing.T, r row, s *store, texts ...string) {
	var settings []setting
	for i := range max(len(s.files), 1) {
		settings = append(settings, setting{text: texts[i%2], entry: "2MB"})
	}
	var read, again spec.Resources
	if s.decode(settings, &read) != nil || !r.said(&read) {
		return
	}
	settings, err := s.encode(read)
	if err != nil {
		return
	}
	if err := s.decode(settings, &again); err != nil {
		t.Errorf("%s: wrote %q, cannot read it: %v", r.key, textsOf(settings), err)
	}
}

// Any quota and period that the kernel takes can be said, so that OCI's pair becomes exactly itself.
func TestEveryQuotaAndPeriod(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		period := 1_000 + random.Uint64N(999_001)
		quota := 1_000 + random.Uint64N(64*period)
		said := spec.CPU{Max: spec.NewCores((quota*1_000_000 + period/2) / period), Period: spec.Duration(time.Duration(period) * time.Microsecond)}
		if q, p, err := cpuQuota(said); q != quota || p != period || err != nil {
			t.Fatalf("%d in %d is said %v and becomes %d in %d, %v", quota, period, said.Max, q, p, err)
		}
	}
	if _, _, err := cpuQuota(spec.CPU{Max: spec.NewCores(1_000), Period: spec.Duration(100 * time.Millisecond)}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a quota the kernel refuses: %v", err)
	}
}

// Conversions rise, keep the ends and the default, and what is read back of a converted value is converted to the same again.
func TestConversions(t *testing.T) {
	for name, c := range map[string]struct {
		low, high uint64
		to, back  func(uint64) uint64
		fixed     map[uint64]uint64
	}{
		"shares": {2, 262144, sharesToWeight, func(w uint64) uint64 { return leastWith(2, 262144, w, sharesToWeight) }, map[uint64]uint64{2: 1, 1024: 100, 262144: 10000}},
		"bfq":    {1, 10000, toBFQ, fromBFQ, map[uint64]uint64{1: 1, 100: 100, 10000: 1000}},
		"blkio":  {10, 1000, fromBlkio, toBlkio, map[uint64]uint64{10: 1, 1000: 10000}},
	} {
		for n := c.low; n <= c.high; n += 1 + n/1000 {
			if n > c.low && c.to(n) < c.to(n-1) {
				t.Fatalf("%s falls at %d", name, n)
			}
			if again := c.to(c.back(c.to(n))); again != c.to(n) {
				t.Fatalf("%s of %d is %d, and after reading it back %d", name, n, c.to(n), again)
			}
		}
		for n, want := range c.fixed {
			if got := c.to(n); got != want {
				t.Errorf("%s of %d = %d, want %d", name, n, got, want)
			}
		}
	}
}
