package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// loudLine is what loud containers say over and over, loudFile how much of it is in their file.
const (
	loudLine = "2026-01-31T12:00:00Z INFO request served method=GET path=/index.html status=200 took=1.25ms from=10.0\n"
	loudFile = 16 << 20
)

// loud makes a file of lines and gives the words of a manifest that show it in a container.
func (n *node) loud() (path, mount string) {
	n.t.Helper()
	path = n.path("lines")
	if err := os.WriteFile(path, bytes.Repeat([]byte(loudLine), loudFile/len(loudLine)), 0o644); err != nil {
		n.t.Fatal(err)
	}
	return path, fmt.Sprintf("  mounts: [{type: bind, source: %s, destination: /mnt, options: [bind, ro]}]\n  restart: {policy: Never}\n", path)
}

// TestLoud has containers write as fast as they can, wherever their output goes: they end, the disk has no more than they may have, and a quiet one loses nothing.
func TestLoud(t *testing.T) {
	n := newNode(t)
	n.start()
	_, mount := n.loud()
	n.put("quiet.yaml", manifest("quiet", `i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done`))
	n.phase("quiet", spec.PhaseRunning)
	for _, driver := range spec.LogDrivers() {
		name := strings.ToLower(string(driver))
		n.put(name+".yaml", manifest(name, `i=0; while [ $i -lt 16 ]; do i=$((i+1)); cat /mnt; done; echo done`, mount, fmt.Sprintf("  logs: {driver: %s, maxSize: 1Mi, maxFiles: 3}\n", driver)))
	}
	for _, driver := range spec.LogDrivers() {
		name := strings.ToLower(string(driver))
		n.phase(name, spec.PhaseCompleted)
		if size := n.onDisk(name); size > 3<<20+4<<10 {
			t.Errorf("%s: %d bytes on disk", name, size)
		}
	}
	n.want("the last line", "done\n", "logs", "file", "--tail", "1")
	consecutive(t, "quiet", n.logs("quiet"))
}

// TestLoudFullDisk fills the disk with output: who writes it runs on, what is lost is counted and shown, and what fits again is kept.
func TestLoudFullDisk(t *testing.T) {
	n := newNode(t)
	if err := os.MkdirAll(n.path("log"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", n.path("log"), "tmpfs", 0, "size=2m,mode=0750"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(n.path("log"), unix.MNT_DETACH) })
	if err := os.WriteFile(n.path("log/ballast"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	_, mount := n.loud()
	n.put("web.yaml", manifest("web", `cat /mnt; touch /dev/shm/full; while [ -e /dev/shm/full ]; do sleep 0.1; done; echo room again; exec sleep 1000`, mount))
	n.eventually("it has written all", func() error {
		_, err := n.cli("exec", "web", "--", "test", "-e", "/dev/shm/full")
		return err
	})
	if err := os.Remove(n.path("log/ballast")); err != nil {
		t.Fatal(err)
	}
	if out, err := n.cli("exec", "web", "--", "rm", "/dev/shm/full"); err != nil {
		t.Fatal(err, out)
	}
	n.eventually("its log goes on", func() error {
		out, err := n.cli("logs", "web", "--tail", "2")
		if err == nil && (!strings.Contains(out, "bytes of output could not be written and are lost]\n") || !strings.HasSuffix(out, "room again\n")) {
			err = fmt.Errorf("it says %q", out)
		}
		return err
	})
	metrics, err := n.cli("debug", "metrics")
	if err != nil {
		t.Fatal(err, metrics)
	}
	if dropped := regexp.MustCompile(`(?m)^reconciler_keeper_dropped_bytes_total ([0-9.e+]+)$`).FindStringSubmatch(metrics); dropped == nil || dropped[1] == "0" {
		t.Errorf("dropped: %q", dropped)
	}
}

// onDisk is how much the log of a container takes.
func (n *node) onDisk(name string) (size int64) {
	files, _ := filepath.Glob(n.path("log/" + name + "/*"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			size += info.Size()
		}
	}
	return size
}

// BenchmarkLoud measures what output costs: the keeper's processor time a megabyte, beside that of cat, which writes the same to files.
func BenchmarkLoud(b *testing.B) {
	n := newNode(b)
	n.start()
	path, mount := n.loud()
	for i := range b.N {
		for _, driver := range []spec.LogDriver{spec.LogFile, spec.LogNone} {
			const times = 32
			name := fmt.Sprintf("%s-%d", strings.ToLower(string(driver)), i)
			begin, before := time.Now(), time.Duration(0)
			if pids := n.keepers(); len(pids) > 0 {
				before = processorTime(b, pids[0])
			}
			n.put(name+".yaml", manifest(name, fmt.Sprintf(`i=0; while [ $i -lt %d ]; do i=$((i+1)); cat /mnt; done`, times), mount, fmt.Sprintf("  logs: {driver: %s}\n", driver)))
			n.phase(name, spec.PhaseCompleted)
			mb := float64(times*loudFile) / 1e6
			b.ReportMetric(mb/time.Since(begin).Seconds(), string(driver)+"-MB/s")
			keeper := processorTime(b, n.keepers()[0]) - before
			cat := exec.Command("/bin/sh", "-c", fmt.Sprintf(`i=0; while [ $i -lt %d ]; do i=$((i+1)); cat <%s >%s; done`, times, path, n.path("copy")))
			if err := cat.Run(); err != nil {
				b.Fatal(err)
			}
			took := cat.ProcessState.SystemTime() + cat.ProcessState.UserTime()
			b.ReportMetric(keeper.Seconds()*1e6/mb, string(driver)+"-keeper-us/MB")
			b.ReportMetric(keeper.Seconds()/took.Seconds(), string(driver)+"-keeper/cat")
			n.remove(name + ".yaml")
		}
	}
	n.signal(syscall.SIGTERM)
}

// processorTime is what a process has used; see proc_pid_stat(5), fields 14 and 15.
func processorTime(t testing.TB, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] {
		n, _ := strconv.Atoi(f)
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}
