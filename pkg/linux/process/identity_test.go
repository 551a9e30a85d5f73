package process_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// start runs a command and reaps it at the end of the test.
func start(t *testing.T, argv ...string) *process.Process {
	t.Helper()
	p := &process.Program{}
	exec(p, argv...)
	child, err := process.Start(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Signal(child.Pidfd, unix.SIGKILL)
		_, _ = process.Reap(child.Pidfd)
		_ = child.Pidfd.Close()
	})
	return child
}

func TestOpenVerified(t *testing.T) {
	noLeaks(t)
	child := start(t, "/bin/sleep", "60")
	began, err := process.StartTime(child.Pid)
	if err != nil {
		t.Fatal(err)
	}
	pidfd, err := process.OpenVerified(child.Pid, began)
	if err != nil {
		t.Fatal(err)
	}
	defer pidfd.Close()
	if _, err := process.OpenVerified(child.Pid, began+1); !errors.Is(err, unix.ESRCH) {
		t.Errorf("of another start time: %v", err)
	}
	if err := process.Signal(pidfd, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit, err := process.Reap(child.Pidfd); exit.Signal != unix.SIGTERM || err != nil {
		t.Errorf("exit = %v, %v", exit, err)
	}
	if _, err := process.OpenVerified(child.Pid, began); !errors.Is(err, unix.ESRCH) {
		t.Errorf("after its end: %v", err)
	}
	if err := process.Signal(pidfd, unix.SIGTERM); !errors.Is(err, unix.ESRCH) {
		t.Errorf("signal after its end: %v", err)
	}
}

// Only a process that is gone gives ESRCH: whoever has no descriptor left to look cannot know.
func TestOpenVerifiedTellsWhy(t *testing.T) {
	kerneltest.InSubprocess(t, func(t *testing.T) {
		pid := os.Getpid()
		began, err := process.StartTime(pid)
		if err != nil {
			t.Fatal(err)
		}
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil || len(threads) < 2 {
			t.Fatalf("%d threads, %v", len(threads), err)
		}
		thread, err := strconv.Atoi(threads[len(threads)-1].Name())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := process.OpenVerified(thread, began); !errors.Is(err, unix.ESRCH) {
			t.Errorf("of a thread: %v", err)
		}
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		limit.Cur = 64
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		var filler []int
		for fd, err := unix.Dup(0); err == nil; fd, err = unix.Dup(0) {
			filler = append(filler, fd)
		}
		for range 2 { // without a descriptor for the pidfd, then without one for the start time
			if _, err := process.OpenVerified(pid, began); !errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ESRCH) {
				t.Errorf("without descriptors: %v", err)
			}
			_ = unix.Close(filler[0])
			filler = filler[1:]
		}
		for _, fd := range filler {
			_ = unix.Close(fd)
		}
	})
}

func TestBootID(t *testing.T) {
	if id, err := process.BootID(); len(id) != 36 || err != nil {
		t.Errorf("id = %q, %v", id, err)
	}
}

func TestStartTimeOfOddName(t *testing.T) {
	noLeaks(t)
	child := start(t, "/bin/sleep", "60")
	want, err := process.StartTime(child.Pid)
	if err != nil {
		t.Fatal(err)
	}
	odd := start(t, "/bin/sh", "-c", "printf ') R 1 (2' >/proc/$$/comm; kill -STOP $$")
	eventually(t, func() bool {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", odd.Pid))
		return string(comm) == ") R 1 (2\n"
	})
	if got, err := process.StartTime(odd.Pid); got < want || got > want+1000 || err != nil {
		t.Errorf("start time = %d, %v, want %d or a little more", got, err, want)
	}
}

func TestPeek(t *testing.T) {
	noLeaks(t)
	child := start(t, "/bin/sh", "-c", "exit 7")
	want := process.Exit{Code: 7}
	eventually(t, func() bool {
		exit, ended, err := process.Peek(child.Pidfd)
		return ended && exit == want && err == nil
	})
	if exit, err := process.Reap(child.Pidfd); exit != want || err != nil {
		t.Errorf("exit = %v, %v", exit, err)
	}
	if _, _, err := process.Peek(child.Pidfd); !errors.Is(err, unix.ECHILD) {
		t.Errorf("after it was reaped: %v", err)
	}
}

// A process that is no child: a grandchild, reaped by its own parent.
func TestRecall(t *testing.T) {
	noLeaks(t)
	kerneltest.Require(t, feature.PidfdExitInfo)
	for _, test := range []struct {
		command string
		want    process.Exit
	}{
		{`trap "exit 7" TERM; echo $$; while :; do sleep 0.01; done`, process.Exit{Code: 7}},
		{`echo $$; exec sleep 60`, process.Exit{Signal: unix.SIGTERM}},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := &process.Program{}
		p.Call("connect stdout", "", unix.SYS_DUP3, p.File("out"), process.Int(1), process.Int(0))
		exec(p, "/bin/sh", "-c", "exec 2>/dev/null; /bin/sh -c '"+test.command+"'; :")
		parent, err := process.Start(p, map[string]*os.File{"out": w})
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 32)
		n, err := r.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		pid, err := strconv.Atoi(string(text[:n-1]))
		if err != nil {
			t.Fatal(err)
		}
		began, err := process.StartTime(pid)
		if err != nil {
			t.Fatal(err)
		}
		pidfd, err := process.OpenVerified(pid, began)
		if err != nil {
			t.Fatal(err)
		}
		if _, ended, err := process.Recall(pidfd); ended || err != nil {
			t.Errorf("before its end: %v, %v", ended, err)
		}
		if err := process.Signal(pidfd, unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if _, err := process.Reap(parent.Pidfd); err != nil {
			t.Error(err)
		}
		if exit, ended, err := process.Recall(pidfd); exit != test.want || !ended || err != nil {
			t.Errorf("exit = %v, %v, %v, want %v", exit, ended, err, test.want)
		}
		_ = pidfd.Close()
		_ = parent.Pidfd.Close()
	}
}

func TestSignals(t *testing.T) {
	noLeaks(t)
	child := start(t, "/bin/sh", "-c", `trap : TERM; trap "" HUP; while :; do sleep 0.01; done`)
	eventually(t, func() bool {
		s, err := process.ReadSignals(child.Pid)
		return err == nil && s.Caught.Has(unix.SIGTERM) && s.Heeds(unix.SIGTERM) && s.Ignored.Has(unix.SIGHUP) && !s.Heeds(unix.SIGHUP)
	})
	if _, err := process.ReadSignals(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of nobody: %v", err)
	}
	if process.SignalSet(1<<14).Has(unix.SIGALRM) || !process.SignalSet(1<<14).Has(unix.SIGTERM) {
		t.Error("SIGTERM is bit 14")
	}
	if err := process.Signal(child.Pidfd, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { // one that was sent before it stood still is not pending
		sent := process.Signal(child.Pidfd, unix.SIGTERM)
		s, err := process.Pending(child.Pid)
		return sent == nil && err == nil && s.Has(unix.SIGTERM) && !s.Has(unix.SIGHUP)
	})
	if _, err := process.Pending(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of nobody: %v", err)
	}
}

// A key is a whole word at the beginning of a line, and what it says is no other's.
func TestReadField(t *testing.T) {
	const file = "/proc/self/status"
	if got, err := process.ReadField(file, "Pid"); err != nil || got != strconv.Itoa(os.Getpid()) {
		t.Errorf("Pid: %q, %v", got, err)
	}
	for _, key := range []string{"TracerPi", "racerPid", "None"} {
		if got, err := process.ReadField(file, key); err == nil || errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
	for _, key := range []string{"Name", "None"} {
		if got, err := process.ReadSets(os.Getpid(), "CapBnd", key); err == nil {
			t.Errorf("the set %s: %d", key, got)
		}
	}
}

// eventually waits until the condition is true.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen")
		}
	}
}

// What a stat says of a process whose name tries to say it, alive and dead.
func TestReadStat(t *testing.T) {
	sleeper := filepath.Join(t.TempDir(), ") Z 1 (")
	if err := os.Symlink("/bin/sleep", sleeper); err != nil {
		t.Fatal(err)
	}
	child := start(t, sleeper, "1000")
	alive, err := process.ReadStat(child.Pid)
	if err != nil || alive.Dead() || alive.StartTime == 0 {
		t.Errorf("alive: %+v, %v", alive, err)
	}
	if err := process.Signal(child.Pidfd, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, "it has ended", func() bool { s, err := process.ReadStat(child.Pid); return err == nil && s.Dead() })
	dead, err := process.ReadStat(child.Pid)
	if want := (process.Stat{State: "Z", Parent: os.Getpid(), StartTime: alive.StartTime, Exit: process.Exit{Signal: unix.SIGTERM}, Exiting: true}); err != nil || dead != want {
		t.Errorf("dead: %+v, %v, want %+v", dead, err, want)
	}
}
