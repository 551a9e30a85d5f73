package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"testing"

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
			texts, err := side.encode(test.said)
			if err != nil || !slices.Equal(texts, side.want) {
				t.Errorf("%s on %s of %+v: %q, %v; want %q", test.key, side.version, test.said, texts, err, side.want)
				continue
			}
			var kept spec.Resources
			if err := side.decode(texts, &kept); err != nil || kept != test.kept {
				t.Errorf("%s on %s from %q: %+v, %v; want %+v", test.key, side.version, texts, kept, err, test.kept)
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
		if err := r.v1.decode(texts, &kept); err != nil || kept != said {
			t.Fatalf("weight %d comes back as %d from %q (%v)", w, kept.CPU.Weight, texts, err)
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
			t.Errorf("list %q: %q, %v", list, texts, err)
		}
	}
}

// What a kernel file may hold, broken ones included, never panics, and what is read survives a round trip.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{"max", "0", "4096", "-1", "max 100000", "150000 100000", "0-3,8", "9223372036854771712", "", "1 0", "x"} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		for _, r := range table {
			for _, s := range []*store{r.v2, r.v1} {
				if s == nil {
					continue
				}
				var read, again spec.Resources
				if s.decode([]string{first, second}[:len(s.files)], &read) != nil || !r.said(read) {
					continue
				}
				texts, err := s.encode(read)
				if err != nil {
					continue
				}
				if err := s.decode(texts, &again); err != nil {
					t.Errorf("%s: wrote %q, cannot read it: %v", r.key, texts, err)
				}
			}
		}
	})
}
