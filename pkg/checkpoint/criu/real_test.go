package criu_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
)

// A counter is dumped, restored, dumped while it runs on, and restored again: it never begins again.
func TestACounterGoesOn(t *testing.T) {
	tool := kerneltest.Criu(t).Tool
	privately(t)
	dir, first, second := t.TempDir(), criu.OpenTempDir(t), criu.OpenTempDir(t)
	pid := begin(t, dir, "counter")
	before := number(t, dir, pid)

	var points []string
	at := func(point string) func() error {
		return func() error { points = append(points, point); return nil }
	}
	notify := criu.Notify{PreDump: at("pre-dump"), PostDump: at("post-dump"), NetworkUnlock: at("network-unlock")}
	if err := talk(t, tool).Dump(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: first, Pid: pid}, notify); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(points, []string{"pre-dump", "post-dump"}) {
		t.Errorf("notified of %q", points)
	}
	finish(pid)
	stats, err := criu.ReadDumpStats(first)
	if err != nil || stats.Frozen <= 0 || stats.Written <= 0 || stats.Written > stats.Scanned {
		t.Errorf("ReadDumpStats: %+v, %v", stats, err)
	}

	var told int
	restored, err := talk(t, tool).Restore(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: first, SiblingOfCaller: true}, criu.Notify{PostRestore: func(pid int) error { told = pid; return nil }})
	if err != nil || restored != pid || told != pid {
		t.Fatalf("Restore: pid %d, told %d of %d: %v", restored, told, pid, err)
	}
	middle := number(t, dir, pid)
	if middle < before {
		t.Errorf("it has counted to %d, and then to %d", before, middle)
	}
	if stats, err := criu.ReadRestoreStats(first); err != nil || stats.Restore <= 0 || stats.Restored <= 0 {
		t.Errorf("ReadRestoreStats: %+v, %v", stats, err)
	}

	if err := talk(t, tool).Dump(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: second, Pid: pid, LeaveRunning: true}, criu.Notify{}); err != nil {
		t.Fatal(err)
	}
	after := number(t, dir, pid)
	finish(pid)
	if _, err := talk(t, tool).Restore(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: second, SiblingOfCaller: true}, criu.Notify{}); err != nil {
		t.Fatal(err)
	}
	if last := number(t, dir, pid); after < middle || last < middle {
		t.Errorf("it has counted to %d, %d and %d", middle, after, last)
	}
	finish(pid)
}

var errNo = errors.New("the layer cannot be copied")

// Who says no in the middle of a dump has the processes back; in the middle of a restore, none is left.
func TestARefusalUndoes(t *testing.T) {
	tool := kerneltest.Criu(t).Tool
	privately(t)
	dir, images := t.TempDir(), criu.OpenTempDir(t)
	pid := begin(t, dir, "counter")
	refuse := criu.Notify{PostDump: func() error { return errNo }, PostRestore: func(int) error { return errNo }}
	if err := talk(t, tool).Dump(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: images, Pid: pid}, refuse); !errors.Is(err, errNo) {
		t.Errorf("Dump: %v", err)
	}
	number(t, dir, pid)
	if err := talk(t, tool).Dump(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: images, Pid: pid}, criu.Notify{}); err != nil {
		t.Fatal(err)
	}
	finish(pid)
	if _, err := talk(t, tool).Restore(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: images, SiblingOfCaller: true}, refuse); !errors.Is(err, errNo) {
		t.Errorf("Restore: %v", err)
	}
	unix.Wait4(pid, nil, 0, nil)
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
}

// The end of the context in the middle of a dump ends criu, and the process runs on.
func TestAnEndedDumpLeavesTheProcess(t *testing.T) {
	tool := kerneltest.Criu(t).Tool
	privately(t)
	for _, point := range []string{"pre-dump", "query-ext-files", "post-dump"} {
		t.Run(point, func(t *testing.T) {
			privately(t)
			dir := t.TempDir()
			pid := begin(t, dir, "counter")
			ctx, cancel := context.WithCancelCause(t.Context())
			stop := func() error { cancel(errNo); return nil }
			notify := map[string]criu.Notify{"pre-dump": {PreDump: stop}, "query-ext-files": {ExternalFiles: func() ([]string, error) { return nil, stop() }}, "post-dump": {PostDump: stop}}[point]
			if err := talk(t, tool).Dump(ctx, criu.Options{NetworkLock: criu.NoLock, ImagesDir: criu.OpenTempDir(t), Pid: pid}, notify); !errors.Is(err, errNo) {
				t.Errorf("Dump: %v", err)
			}
			number(t, dir, pid)
		})
	}
}

// What a process has that cannot be saved is said in plain words, and the process runs on.
func TestWhatCannotBeDumpedIsNamed(t *testing.T) {
	proof := kerneltest.Criu(t)
	tool := proof.Tool
	for name, test := range map[string]struct {
		role string
		with criu.Options
		want string // "" for success
		is   error
	}{
		"mptcp":             {"mptcp", criu.Options{NetworkLock: criu.NoLock}, "an MPTCP socket", nil},
		"listener":          {"listener", criu.Options{NetworkLock: criu.NoLock}, "", nil},
		"connection":        {"connected", criu.Options{NetworkLock: criu.NoLock}, "an open TCP connection", nil},
		"connection kept":   {"connected", criu.Options{NetworkLock: criu.NoLock, TCPEstablished: true}, "", nil},
		"vsock":             {"vsock", criu.Options{NetworkLock: criu.NoLock}, "a vsock socket", nil},
		"file lock":         {"lock", criu.Options{NetworkLock: criu.NoLock}, "a file lock", nil},
		"file lock kept":    {"lock", criu.Options{NetworkLock: criu.NoLock, FileLocks: true}, "", nil},
		"large ghost":       {"ghost", criu.Options{NetworkLock: criu.NoLock}, "ghost is still open and too large to be part of an image (4194304 bytes)", nil},
		"large ghost saved": {"ghost", criu.Options{NetworkLock: criu.NoLock, GhostLimit: 8 << 20}, "", nil},
		"nested namespace":  {"nested", criu.Options{NetworkLock: criu.NoLock}, "has made a ipc namespace of its own", nil},
		"tracked":           {"counter", criu.Options{NetworkLock: criu.NoLock, TrackMemory: true}, "does not track", errors.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			privately(t)
			if proof.Check(criu.PreCopy) == nil && name == "tracked" {
				test.want, test.is = "", nil
			}
			dir := t.TempDir()
			pid := begin(t, dir, test.role)
			test.with.ImagesDir, test.with.Pid, test.with.LeaveRunning = criu.OpenTempDir(t), pid, true
			err := talk(t, tool).Dump(t.Context(), test.with, criu.Notify{})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("Dump: %v\nwant %s", err, test.want)
			}
			number(t, dir, pid)
		})
	}
}

// So is what stands in the way of a restore.
func TestWhatCannotBeRestoredIsNamed(t *testing.T) {
	tool := kerneltest.Criu(t).Tool
	for name, test := range map[string]struct {
		role  string
		spoil func(t *testing.T, dir string, images *os.File)
		want  string
		is    error
	}{
		"file grew":    {"data", func(_ *testing.T, dir string, _ *os.File) { write(t, dir+"/data", "longer than before") }, "data has 18 bytes, and had 4", fs.ErrInvalid},
		"file is gone": {"data", func(_ *testing.T, dir string, _ *os.File) { os.Remove(dir + "/data") }, "data is gone", fs.ErrInvalid},
		"other mode":   {"data", func(_ *testing.T, dir string, _ *os.File) { os.Chmod(dir+"/data", 0o711) }, "data has mode", fs.ErrInvalid},
		"torn image":   {"data", func(_ *testing.T, _ string, images *os.File) { os.Truncate(images.Name()+"/inventory.img", 9) }, "criu: ", nil},
		"no image":     {"data", func(_ *testing.T, _ string, images *os.File) { os.Remove(images.Name() + "/inventory.img") }, "criu: ", nil},
	} {
		t.Run(name, func(t *testing.T) {
			privately(t)
			dir, images := t.TempDir(), criu.OpenTempDir(t)
			write(t, dir+"/data", "data")
			pid := begin(t, dir, test.role)
			if err := talk(t, tool).Dump(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: images, Pid: pid}, criu.Notify{}); err != nil {
				t.Fatal(err)
			}
			finish(pid)
			test.spoil(t, dir, images)
			_, err := talk(t, tool).Restore(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: images, SiblingOfCaller: true}, criu.Notify{})
			if err == nil || !strings.Contains(err.Error(), test.want) || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("Restore: %v\nwant %s", err, test.want)
			}
			unix.Wait4(pid, nil, 0, nil)
		})
	}
}

// While the process that was dumped runs, its number is taken.
func TestARestoreBesideTheOriginal(t *testing.T) {
	tool := kerneltest.Criu(t).Tool
	privately(t)
	dir, images := t.TempDir(), criu.OpenTempDir(t)
	pid := begin(t, dir, "counter")
	if err := talk(t, tool).Dump(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: images, Pid: pid, LeaveRunning: true}, criu.Notify{}); err != nil {
		t.Fatal(err)
	}
	_, err := talk(t, tool).Restore(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: images, SiblingOfCaller: true}, criu.Notify{})
	if !errors.Is(err, syscall.EEXIST) || !strings.Contains(err.Error(), "is taken") {
		t.Errorf("Restore: %v", err)
	}
	number(t, dir, pid)
}

// A full file system ends the dump, not the process.
func TestNoSpaceForAnImage(t *testing.T) {
	tool := kerneltest.Criu(t).Tool
	privately(t)
	dir, small := t.TempDir(), t.TempDir()
	if err := unix.Mount("small", small, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(small, unix.MNT_DETACH)
	fd, err := unix.Open(small, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) // by this thread: others do not see the mount
	if err != nil {
		t.Fatal(err)
	}
	images := os.NewFile(uintptr(fd), small)
	defer images.Close()
	pid := begin(t, dir, "counter")
	err = talk(t, tool).Dump(t.Context(), criu.Options{NetworkLock: criu.NoLock, ImagesDir: images, WorkDir: criu.OpenTempDir(t), Pid: pid}, criu.Notify{})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Dump: %v", err)
	}
	number(t, dir, pid)
}

// A stray configuration file decides nothing: this one would let any dump of a connection pass, and write the log elsewhere.
func TestStrayConfigurationChangesNothing(t *testing.T) {
	tool := kerneltest.Criu(t).Tool
	privately(t)
	if err := unix.Mount("etc", "/etc", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Mkdir("/etc/criu", 0o755)); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open("/etc/criu/default.conf", unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o644) // by this thread
	if err != nil {
		t.Fatal(err)
	}
	unix.Write(fd, []byte("tcp-established\nleave-running\n"))
	unix.Close(fd)
	t.Setenv("CRIU_CONFIG_FILE", "/etc/criu/default.conf")
	pid := begin(t, t.TempDir(), "connected")
	err = talk(t, tool).Dump(t.Context(), criu.Options{ImagesDir: criu.OpenTempDir(t), Pid: pid, NetworkLock: criu.NoLock}, criu.Notify{})
	if err == nil || !strings.Contains(err.Error(), "an open TCP connection") {
		t.Errorf("Dump: %v", err)
	}
}

func TestQuestions(t *testing.T) {
	tool := kerneltest.Criu(t).Tool
	privately(t)
	c, images := talk(t, tool), criu.OpenTempDir(t)
	version, err := c.Version(t.Context())
	if err != nil || !strings.HasPrefix(tool.Version, version) {
		t.Errorf("Version: %s, %v, and the program says %s", version, err, tool.Version)
	}
	if f, err := c.Features(t.Context()); err != nil || !f.PidfdStore {
		t.Errorf("Features: %+v, %v", f, err)
	}
	o := criu.Options{NetworkLock: criu.NoLock, ImagesDir: images, CPU: criu.CPUInstructions}
	if err := c.WriteCPU(t.Context(), o); err != nil {
		t.Errorf("WriteCPU: %v", err)
	}
	if err := c.CheckCPU(t.Context(), o); err != nil {
		t.Errorf("CheckCPU of the same processor: %v", err)
	}
	if err := os.Truncate(filepath.Join(images.Name(), "cpuinfo.img"), 20); err != nil {
		t.Fatal(err)
	}
	if err := c.CheckCPU(t.Context(), o); err == nil {
		t.Error("CheckCPU of a torn file: no error")
	}
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}
