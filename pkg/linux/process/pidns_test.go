package process_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// sleeper is a process that sleeps until the test ends.
func sleeper(t *testing.T, flags uint64) *process.Process {
	t.Helper()
	p := &process.Program{Clone: flags}
	exec(p, "/bin/sleep", "1000")
	child, err := process.Start(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(child) })
	return child
}

// end kills and reaps a process; it does not matter if that was done before.
func end(child *process.Process) {
	_ = process.Signal(child.Pidfd, unix.SIGKILL)
	_, _ = process.Reap(child.Pidfd)
	_ = child.Pidfd.Close()
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// A process starts in the pid namespace of another, whether that is given by its file or by its pidfd, and is still a
// child of the starter, who sees it by a pid of its own.
func TestStartInPidNamespace(t *testing.T) {
	noLeaks(t)
	init := sleeper(t, unix.CLONE_NEWPID)
	for kind, ns := range map[string]*os.File{"file": open(t, fmt.Sprintf("/proc/%d/ns/pid", init.Pid)), "pidfd": init.Pidfd} {
		p := &process.Program{PidNS: "ns", Files: []string{"ns"}}
		exec(p, "/bin/sh", "-c", "exit $$")
		child, err := process.Start(p, map[string]*os.File{"ns": ns})
		if err != nil {
			t.Fatal(err)
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child.Pid))
		if err != nil {
			t.Fatal(err)
		}
		exit, err := process.Reap(child.Pidfd)
		_ = child.Pidfd.Close()
		if want := fmt.Sprintf("NSpid:\t%d\t%d\n", child.Pid, exit.Code); !strings.Contains(string(status), want) || exit.Code < 2 || exit.Code > 9 || err != nil {
			t.Errorf("by %s: exit = %v, %v, and no %q in\n%s", kind, exit, err, want, status)
		}
	}
}

// Whatever becomes of starts in another pid namespace, the starter's threads make children in its own afterwards.
func TestPidNamespaceIsLeftAgain(t *testing.T) {
	noLeaks(t)
	init := sleeper(t, unix.CLONE_NEWPID)
	ns := map[string]*os.File{"ns": init.Pidfd}
	maps.Copy(ns, null(t))
	var starters sync.WaitGroup
	for range 4 {
		starters.Go(func() {
			for i := range 50 {
				p := &process.Program{}
				if i%2 == 0 {
					p.PidNS, p.Files = "ns", []string{"ns"}
				}
				if i%5 == 0 {
					p.Call("stumble", "", noSuchCall)
				}
				exec(p, "/bin/true")
				child, err := process.Start(p, ns)
				if failed := i%5 == 0; (err != nil) != failed {
					t.Errorf("start %d: %v", i, err)
				}
				if err == nil {
					_, _ = process.Reap(child.Pidfd)
					_ = child.Pidfd.Close()
				}
			}
		})
	}
	starters.Wait()
	own, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		children, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/pid_for_children")
		if err == nil && children != own {
			t.Errorf("children of thread %s start in %s, those of the process in %s", task.Name(), children, own)
		}
	}
}

func TestWrongPidNamespace(t *testing.T) {
	noLeaks(t)
	ended := sleeper(t, unix.CLONE_NEWPID)
	gone := open(t, fmt.Sprintf("/proc/%d/ns/pid", ended.Pid))
	if err := process.Signal(ended.Pidfd, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := process.Reap(ended.Pidfd); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		ns    *os.File
		errno unix.Errno
		text  string
	}{
		{open(t, os.DevNull), unix.EINVAL, "cannot start in pid namespace /dev/null: invalid argument\nhint: it must be a pid namespace"},
		{ended.Pidfd, unix.ESRCH, "cannot start in pid namespace pidfd:" + strconv.Itoa(ended.Pid)},
		{gone, unix.ENOMEM, "cannot create process: cannot allocate memory\nhint: the first process of the pid namespace has ended"},
	} {
		p := &process.Program{PidNS: "ns", Files: []string{"ns"}}
		exec(p, "/bin/true")
		child, err := process.Start(p, map[string]*os.File{"ns": test.ns})
		var failure *process.Error
		if child != nil || !errors.As(err, &failure) || failure.Op != -1 || failure.Errno != test.errno || !strings.HasPrefix(err.Error(), test.text) {
			t.Errorf("err = %v, want %v", err, test.text)
		}
	}
}

// A thread that keeps goroutines from running elsewhere while it is in another pid namespace: other goroutines start as
// ever, and none of the runtime's new threads comes from there.
func TestThreadsMadeDuringAStartElsewhere(t *testing.T) {
	noLeaks(t)
	init := sleeper(t, unix.CLONE_NEWPID)
	var busy sync.WaitGroup
	p := &process.Program{PidNS: "ns", Files: []string{"ns"}}
	p.Call("rest", "", unix.SYS_NANOSLEEP, process.Data(make([]byte, 16)), process.Int(0))
	p.Ops[0].Args[0].Data[9] = 40 // some 2.6 ms
	exec(p, "/bin/true")
	for range 20 {
		for range 8 {
			busy.Go(func() {
				runtime.LockOSThread() // takes a thread, which ends with the goroutine
				time.Sleep(time.Millisecond)
			})
		}
		child, err := process.Start(p, map[string]*os.File{"ns": init.Pidfd})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = process.Reap(child.Pidfd)
		_ = child.Pidfd.Close()
	}
	busy.Wait()
}
