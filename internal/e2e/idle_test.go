package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// BenchmarkIdle measures agent and keeper while containers run and nothing happens: memory, processor time, wake-ups.
func BenchmarkIdle(b *testing.B) {
	for _, count := range []int{100, 500} {
		b.Run(fmt.Sprintf("containers=%d", count), func(b *testing.B) {
			n := newNode(b)
			n.start()
			began := time.Now()
			for i := range count {
				name := fmt.Sprintf("idle-%d", i)
				n.put(name+".yaml", manifest(name, "exec sleep 100000", "  stop: {timeout: 1s}\n"))
			}
			for i := range count {
				n.phase(fmt.Sprintf("idle-%d", i), spec.PhaseRunning)
			}
			b.ReportMetric(time.Since(began).Seconds(), "s-to-running")
			time.Sleep(2 * time.Minute) // the start is over, and each was looked at deep for the first time
			pids := map[string]int{"agent": n.agent.Process.Pid, "keeper": n.keepers()[0]}
			const window = time.Minute // a deep look at each
			before := map[string]usage{}
			for who, pid := range pids {
				before[who] = usageOf(b, pid)
			}
			time.Sleep(window)
			b.ReportMetric(float64(children(pids["keeper"])-count), "helpers")
			for who, pid := range pids {
				after := usageOf(b, pid)
				b.ReportMetric(float64(after.rss)/(1<<20), "MiB-"+who)
				b.ReportMetric(100*(after.cpu-before[who].cpu).Seconds()/window.Seconds(), "%cpu-"+who)
				b.ReportMetric(float64(after.switches-before[who].switches)/window.Seconds(), "wakeups/s-"+who)
			}
		})
	}
}

// usage is what a process has used.
type usage struct {
	rss      int64 // bytes
	cpu      time.Duration
	switches int64 // voluntary context switches of all threads: wake-ups
}

func usageOf(b *testing.B, pid int) (u usage) {
	b.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, task := range tasks {
		u.switches += field(fmt.Sprintf("/proc/%d/task/%s/status", pid, task.Name()), "voluntary_ctxt_switches:")
	}
	u.rss = field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:") << 10
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	u.cpu = time.Duration(user+system) * 10 * time.Millisecond // clock ticks of USER_HZ 100
	return u
}

// children is how many processes have this one as their parent.
func children(pid int) (count int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		count += len(strings.Fields(string(text)))
	}
	return count
}

func field(file, key string) int64 {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}
