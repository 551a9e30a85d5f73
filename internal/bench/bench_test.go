// Package bench measures a node against its yardsticks in one run: crun, runc and a bare clone3 with execve. It prints
// ratios; it asserts nothing.
package bench

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
)

// own tells a process whose network namespace is its own.
const own = "RECONCILER_BENCH_NETNS"

// TestMain lets the binary be its own keeper. All subjects run in one network namespace made for them, so that bridges are not the machine's, and
// find a /run in memory, which most machines have.
func TestMain(m *testing.M) {
	criu.Hook()
	keeper.Hook()
	if os.Getenv(own) == "" && os.Geteuid() == 0 {
		fmt.Fprintln(os.Stderr, isolate())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// isolate executes this program again in a new network namespace.
func isolate() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	if err := unix.Mount("bench", "/run", "tmpfs", 0, "mode=0755"); err != nil { // what criu finds out about the kernel stays in one
		return os.NewSyscallError("mount", err)
	}
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil { // what was inherited must not be in anybody's image
		return os.NewSyscallError("close_range", err)
	}
	if err := network.LoopbackUp(); err != nil {
		return err
	}
	return os.NewSyscallError("execve", unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), own+"=1")))
}

// subject is one of those compared: some steps, each in its way.
type subject struct {
	name  string
	ours  bool // the others are yardsticks
	steps []step
}

// step is what is timed.
type step struct {
	name string
	do   func(b *testing.B, round int)
}

// compare lets the subjects take turns, with a pause before each, and reports how long their steps take. Who begins changes with every round,
// because the kernel tears down after one what the next then waits for.
func compare(b *testing.B, subjects []subject, gap time.Duration) {
	took := map[string][]time.Duration{}
	for round := range b.N {
		for i := range subjects {
			s := subjects[(round+i)%len(subjects)]
			time.Sleep(gap)
			for _, step := range s.steps {
				began := time.Now()
				step.do(b, round)
				took[step.name+" "+s.name] = append(took[step.name+" "+s.name], time.Since(began))
			}
		}
	}
	if b.N > 1 { // a benchmark begins with a single round, to see
		report(b, subjects, took)
	}
}

// report prints a table of medians and tenth percentiles, the second of which a busy machine disturbs less, and for ours the ratios to each yardstick.
func report(b *testing.B, subjects []subject, took map[string][]time.Duration) {
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s: %d rounds, load %s\n", b.Name(), b.N, strings.Join(strings.Fields(string(load))[:3], " ")) // b.Log shows ten lines
	for _, s := range subjects {
		for _, step := range s.steps {
			mine := took[step.name+" "+s.name]
			line := fmt.Sprintf("%-8s %-12s %9v  p10 %9v", step.name, s.name, percentile(mine, 50), percentile(mine, 10))
			for _, y := range subjects {
				if theirs := took[step.name+" "+y.name]; s.ours && !y.ours && theirs != nil {
					line += fmt.Sprintf("   %.2f (%.2f) of %s", ratio(mine, theirs, 50), ratio(mine, theirs, 10), y.name)
					b.ReportMetric(ratio(mine, theirs, 50), step.name+":"+s.name+"/"+y.name)
				}
			}
			fmt.Println(line)
		}
	}
}

func percentile(d []time.Duration, percent int) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[(len(d)-1)*percent/100].Round(10 * time.Microsecond)
}

func ratio(a, b []time.Duration, percent int) float64 {
	return float64(percentile(a, percent)) / float64(percentile(b, percent))
}

// memory makes a directory in memory, where a node and its yardsticks have their state: /run is a tmpfs on most machines.
func memory(b *testing.B) string {
	b.Helper()
	for _, base := range []string{"/run", "/dev/shm"} {
		var fs unix.Statfs_t
		if unix.Statfs(base, &fs) == nil && fs.Type == unix.TMPFS_MAGIC {
			return directory(b, base)
		}
	}
	return directory(b, "")
}

// directory makes a directory that everybody may pass through, unlike a benchmark's own.
func directory(b *testing.B, base string) string {
	b.Helper()
	dir, err := os.MkdirTemp(base, "rbench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	return dir
}

// mark is a FIFO that the payload writes to first of all.
type mark struct {
	dir string
	f   *os.File
}

func newMark(b *testing.B) mark {
	b.Helper()
	dir := directory(b, "")
	path := filepath.Join(dir, "mark")
	if err := unix.Mkfifo(path, 0o666); err != nil {
		b.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil { // whatever the umask: some payloads are nobody here
		b.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return mark{dir, f}
}

func (m mark) wait(b *testing.B) {
	_ = m.f.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := m.f.Read(make([]byte, 16)); err != nil {
		b.Fatalf("the payload never wrote: %v", err)
	}
}

// payload writes and waits. busybox sh is what all subjects run.
var payload = []string{"/bin/sh", "-c", "echo >/mark/mark; exec sleep 1000"}
