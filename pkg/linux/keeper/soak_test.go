package keeper_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/log"
)

// scaled is n, or the large figure in a soak run, which RECONCILER_SOAK=1 asks for.
func scaled(n, soak int) int {
	if os.Getenv("RECONCILER_SOAK") != "" {
		return soak
	}
	return n
}

// Fast output is rotated without losing, doubling or tearing a line.
func TestRotationUnderLoad(t *testing.T) {
	n := newNode(t)
	const lines, width = 400_000, 120
	r := n.request("fast", 1, fmt.Sprintf("exec /usr/bin/seq -f '%%0%d.0f' 1 %d", width, lines))
	r.Log.MaxSize, r.Log.MaxFiles = 1<<20, 1000
	begin := time.Now()
	s, err := n.client.Start(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if e := n.exit(r, s); e.Code != 0 {
		t.Fatalf("exit = %+v", e)
	}
	t.Logf("%.0f MB/s", float64(lines*(width+1))/time.Since(begin).Seconds()/1e6)
	want := 0
	for line, err := range log.Read(t.Context(), r.Log.Dir, log.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		want++
		if text := fmt.Sprintf("%0*d", width, want); string(line.Text) != text {
			t.Fatalf("got %q, want %q", line.Text, text)
		}
	}
	if want != lines {
		t.Errorf("%d lines, want %d", want, lines)
	}
}

// A full disk below the log costs output only: the container runs on and ends as ever.
func TestLogDiskFull(t *testing.T) {
	n := newNode(t)
	r := n.request("big", 1, "seq 1 1000000; exit 5")
	r.Log.Dir = t.TempDir()
	if err := unix.Mount("tmpfs", r.Log.Dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(r.Log.Dir, unix.MNT_DETACH) })
	s, err := n.client.Start(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if e := n.exit(r, s); e.Code != 5 {
		t.Errorf("exit = %+v", e)
	}
	var kept, dropped int64
	for line, err := range log.Read(t.Context(), r.Log.Dir, log.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		kept += int64(len(line.Text))
		dropped += line.Dropped
	}
	if kept == 0 || dropped == 0 {
		t.Errorf("%d bytes kept, %d noted as dropped", kept, dropped)
	}
}

// keeperFigures are what a keeper costs.
func (n *node) keeperFigures() (rss, anonymous, switches, threads int) {
	n.t.Helper()
	pid := n.keeperPid()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		n.t.Fatal(err)
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		switches += field(text, "voluntary_ctxt_switches:") + field(text, "nonvoluntary_ctxt_switches:")
	}
	return field(status, "VmRSS:"), field(status, "RssAnon:"), switches, len(tasks)
}

// field is the number after a name in a status file.
func field(text []byte, name string) int {
	for line := range bytes.Lines(text) {
		if f := bytes.Fields(line); len(f) > 1 && string(f[0]) == name {
			n, _ := strconv.Atoi(string(f[1]))
			return n
		}
	}
	return 0
}

// What idle containers cost their keeper.
func TestIdleCost(t *testing.T) {
	containers, look := scaled(50, 500), time.Duration(scaled(1, 30))*time.Second
	n := newNode(t)
	rss, anonymous, _, threads := n.keeperFigures()
	t.Logf("empty: %d KiB RSS, %d KiB of it anonymous, %d threads, %d descriptors", rss, anonymous, threads, n.descriptors())
	for i := range containers {
		n.start("idle"+strconv.Itoa(i), "exec sleep 100000")
	}
	time.Sleep(look)
	_, _, before, _ := n.keeperFigures()
	time.Sleep(look)
	rss, anonymous, after, threads := n.keeperFigures()
	t.Logf("%d containers: %d KiB RSS, %d KiB of it anonymous, %d threads, %d descriptors, %.1f switches a second",
		containers, rss, anonymous, threads, n.descriptors(), float64(after-before)/look.Seconds())
	n.killKeeper()
	begin := time.Now()
	if ps, err := n.client.List(t.Context()); err != nil || len(ps) != containers {
		t.Errorf("%d processes, %v", len(ps), err)
	}
	t.Logf("next keeper started and all adopted after %v", time.Since(begin))
}

// BenchmarkStart is a start and its release, in a new pid namespace.
func BenchmarkStart(b *testing.B) {
	n := newNode(b)
	r := n.request("bench", 1, "sleep 1000")
	for b.Loop() {
		if _, err := n.client.Start(b.Context(), r); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := n.client.Kill(b.Context(), r.Key, "SIGKILL"); err != nil {
			b.Fatal(err)
		}
		n.eventually("end", func() bool { return !n.running(r.Key) })
		b.StartTimer()
	}
}

// running tells whether the keeper says so.
func (n *node) running(key keeper.Key) bool {
	n.t.Helper()
	ps, err := n.client.List(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	for _, p := range ps {
		if p.Key == key {
			return p.Running
		}
	}
	return false
}
