package cgroup

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestStatsTexts reads each file's text as kernels print it, in both versions of the hierarchy.
func TestStatsTexts(t *testing.T) {
	for _, test := range []struct {
		name  string
		parts []string // controllers, "" for none
		v1    bool
		texts map[string]string
		want  spec.Stats
	}{
		{
			"v2",
			[]string{"", "memory", "pids", "io"},
			false,
			map[string]string{
				"cpu.stat":            "usage_usec 300\nuser_usec 200\nsystem_usec 100\nnice_usec 0\ncore_sched.force_idle_usec 7\nnr_periods 9\nnr_throttled 4\nthrottled_usec 55\nnr_bursts 2\nburst_usec 33\n",
				"cpu.pressure":        "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234\nfull avg10=100.00 avg60=0.00 avg300=0.00 total=5\n",
				"memory.current":      "4096\n",
				"memory.peak":         "8192\n",
				"memory.max":          "max\n",
				"memory.swap.current": "12288\n",
				"memory.swap.max":     "0\n",
				"memory.stat":         "anon 1\nfile 2\nkernel 3\nkernel_stack 99\nsock 4\nshmem 5\nfile_mapped 6\nfile_dirty 7\nfile_writeback 8\ninactive_file 9\nslab 10\npgfault 11\npgmajfault 12\n",
				"memory.events":       "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\nsock_throttled 0\n",
				"pids.current":        "3\n",
				"pids.peak":           "5\n",
				"pids.max":            "100\n",
				"io.stat":             "999:0 \n999:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n999:32 rbytes=7 wbytes=8 rios=9 wios=10 dbytes=11 dios=12 cost.usage=4\n",
			},
			spec.Stats{
				CPU: &spec.CPUStats{UsageUsec: 300, UserUsec: 200, SystemUsec: 100, NrPeriods: 9, NrThrottled: 4, ThrottledUsec: 55, NrBursts: 2, BurstUsec: 33},
				Memory: &spec.MemoryStats{
					Current: 4096, Peak: 8192, Max: spec.MaxLimit(), SwapCurrent: 12288, SwapMax: spec.NewLimit(0),
					Anon: 1, File: 2, Kernel: 3, Sock: 4, Shmem: 5, FileMapped: 6, FileDirty: 7, FileWriteback: 8, InactiveFile: 9, Slab: 10, Pgfault: 11, Pgmajfault: 12,
					Events: spec.MemoryEvents{Low: 1, High: 2, Max: 3, OOM: 4, OOMKill: 5, OOMGroupKill: 6},
				},
				Pids: &spec.PidsStats{Current: 3, Peak: 5, Max: spec.NewLimit(100)},
				IO: []spec.DeviceStats{
					{Device: "999:16", RBytes: 1, WBytes: 2, RIOs: 3, WIOs: 4, DBytes: 5, DIOs: 6},
					{Device: "999:32", RBytes: 7, WBytes: 8, RIOs: 9, WIOs: 10, DBytes: 11, DIOs: 12},
				},
				Pressure: &spec.PressureStats{CPU: spec.PSI{
					Some: spec.PSILine{Avg10: 1.5, Avg60: 0.25, TotalUsec: 1234},
					Full: spec.PSILine{Avg10: 100, TotalUsec: 5},
				}},
			},
		},
		{
			"v1",
			[]string{"cpu", "memory", "blkio"},
			true,
			map[string]string{
				"cpu.stat":                                  "nr_periods 9\nnr_throttled 4\nthrottled_time 55000\nnr_bursts 2\nburst_time 33999\n",
				"memory.usage_in_bytes":                     "4096\n",
				"memory.max_usage_in_bytes":                 "8192\n",
				"memory.limit_in_bytes":                     "16384\n",
				"memory.memsw.limit_in_bytes":               "20480\n",
				"memory.stat":                               "cache 77\nrss 77\ntotal_cache 2\ntotal_rss 1\ntotal_shmem 5\ntotal_mapped_file 6\ntotal_dirty 7\ntotal_writeback 8\ntotal_swap 13\ntotal_pgfault 11\ntotal_pgmajfault 12\ntotal_inactive_file 9\n",
				"memory.kmem.usage_in_bytes":                "3\n",
				"memory.kmem.tcp.usage_in_bytes":            "4\n",
				"memory.failcnt":                            "21\n",
				"memory.oom_control":                        "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
				"blkio.throttle.io_service_bytes_recursive": "999:0 Read 1\n999:0 Write 2\n999:0 Sync 3\n999:0 Async 0\n999:0 Discard 5\n999:0 Total 8\nTotal 8\n",
				"blkio.throttle.io_serviced_recursive":      "999:0 Read 3\n999:0 Write 4\n999:0 Discard 6\n999:0 Total 13\nTotal 13\n",
			},
			spec.Stats{
				CPU: &spec.CPUStats{NrPeriods: 9, NrThrottled: 4, ThrottledUsec: 55, NrBursts: 2, BurstUsec: 33},
				Memory: &spec.MemoryStats{
					Current: 4096, Peak: 8192, Max: spec.NewLimit(16384), SwapCurrent: 13, SwapMax: spec.NewLimit(4096),
					Anon: 1, File: 2, Kernel: 3, Sock: 4, Shmem: 5, FileMapped: 6, FileDirty: 7, FileWriteback: 8, InactiveFile: 9, Pgfault: 11, Pgmajfault: 12,
					Events: spec.MemoryEvents{Max: 21, OOMKill: 5},
				},
				IO: []spec.DeviceStats{{Device: "999:0", RBytes: 1, WBytes: 2, RIOs: 3, WIOs: 4, DBytes: 5, DIOs: 6}},
			},
		},
		{
			"nonsense",
			[]string{"", "memory", "io"},
			false,
			map[string]string{
				"cpu.stat":       "usage_usec 99999999999999999999999\nuser_usec -3\nsystem_usec 4x\n\n\x00\n",
				"cpu.pressure":   "some\nfull avg10=1 avg60=.5 total=\nsome avg10 avg60==\n",
				"memory.current": "",
				"memory.max":     "much\n",
				"io.stat":        "\n=\n999:0 =\n",
			},
			spec.Stats{Pressure: &spec.PressureStats{}, Memory: &spec.MemoryStats{}, IO: []spec.DeviceStats{{Device: "999:0"}}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got spec.Stats
			used := 0
			for _, p := range statsParts() {
				figures := p.v2
				if test.v1 {
					figures = p.v1
				}
				for _, f := range figures {
					text, ok := test.texts[f.file]
					if !ok || !slices.ContainsFunc(test.parts, func(c string) bool { return c == "" && p.controllers == nil || slices.Contains(p.controllers, c) }) {
						continue
					}
					used++
					f.take(&got, []byte(text))
				}
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got\n%+v %+v %+v %+v\nwant\n%+v %+v %+v %+v", got.CPU, got.Memory, got.IO, got.Pressure, test.want.CPU, test.want.Memory, test.want.IO, test.want.Pressure)
			}
			if used != len(test.texts) {
				t.Errorf("%d of %d texts were read", used, len(test.texts))
			}
		})
	}
}

func TestHugePages(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]string{"hugepages-64kB": "64KB", "hugepages-2048kB": "2MB", "hugepages-1048576kB": "1GB", "hugepages-16777216kB": "16GB"} {
		if got := hugePagesOf(t, dir, name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
	if got := hugePages(dir + "/none"); got != nil {
		t.Errorf("without huge pages: %v", got)
	}
}

func hugePagesOf(t *testing.T, dir, name string) []string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	return hugePages(dir)
}
