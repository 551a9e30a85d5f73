package criu_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
)

// victim is the environment variable that makes this program a process to be dumped: its value is the role.
const victim = "RECONCILER_TEST_VICTIM"

func TestMain(m *testing.M) {
	criu.Hook()
	if os.Getenv(liar) != "" {
		lie()
		return
	}
	if path := os.Getenv(prover); path != "" {
		criu.Prove(context.Background(), criu.Tool{Path: path})
		return
	}
	if role := os.Getenv(victim); role != "" {
		if err := roles[role](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		count()
	}
	unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC) // what this program was started with is none of a victim's
	kerneltest.Main(m)
}

// roles are what a victim has beside its counter. The working directory is the test's.
var roles = map[string]func() error{
	"counter":  func() error { return nil },
	"listener": func() error { return keep(listen("tcp4", false)) },
	"mptcp":    func() error { return keep(listen("tcp4", true)) },
	"connected": func() error {
		l, err := listen("tcp4", false)
		if err != nil {
			return err
		}
		far, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			return err
		}
		near, err := l.Accept()
		return keep(far, near, l, err)
	},
	"vsock": func() error { _, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0); return err },
	"lock": func() error {
		f, err := os.Create("lock")
		if err != nil {
			return err
		}
		return keep(f, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	},
	"memory": func() error {
		memory = make([]byte, 8<<20)
		for i := range memory {
			memory[i] = pattern(i)
		}
		return nil
	},
	"data": func() error { f, err := os.Open("data"); return keep(f, err) },
	"ghost": func() error {
		f, err := os.Create("ghost")
		if err != nil {
			return err
		}
		if _, err := f.Write(make([]byte, 4<<20)); err != nil {
			return err
		}
		return keep(f, os.Remove("ghost"))
	},
	"nested": func() error {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), victim+"=counter")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWIPC, Pdeathsig: syscall.SIGKILL}
		return cmd.Start()
	},
}

// memory is looked at whenever a victim is asked for its number: one that is not as it was is a number that never was.
var memory []byte

func pattern(i int) byte { return byte(i * 31 >> 3) }

// kept holds what must stay open.
var kept []any

func keep(things ...any) error {
	for _, thing := range things {
		if err, ok := thing.(error); ok {
			return err
		}
	}
	kept = append(kept, things...)
	return nil
}

func listen(network string, mptcp bool) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(mptcp)
	return lc.Listen(context.Background(), network, "127.0.0.1:0")
}

// ready closes the pipe that the test waits at.
func ready() { os.NewFile(3, "ready").Close() }

// count is the victim's state: a number that grows and never begins again. USR1 writes it down.
func count() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGUSR1)
	ready()
	tick := time.Tick(time.Millisecond)
	for n := 1; ; {
		select {
		case <-tick:
			n++
		case <-asked:
			for i, b := range memory {
				if b != pattern(i) {
					n = -1
				}
			}
			os.WriteFile("count.new", []byte(strconv.Itoa(n)), 0o600)
			os.Rename("count.new", "count")
		}
	}
}

// begin starts a victim that lives in dir, and waits until it has what its role says. What is left of it ends with the test.
func begin(t *testing.T, dir, role string) (pid int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	program := filepath.Join(dir, "victim")
	if data, err := os.ReadFile("/proc/self/exe"); err != nil || os.WriteFile(program, data, 0o755) != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	process, err := os.StartProcess(program, []string{program}, &os.ProcAttr{
		Dir: dir, Files: []*os.File{null, null, null, w},
		Env: []string{victim + "=" + role, "GOMAXPROCS=2", "GODEBUG=containermaxprocs=0,updatemaxprocs=0"}, // the Go runtime keeps no cgroup's file open
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	pid = process.Pid
	process.Release()
	t.Cleanup(func() { finish(pid) })
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Fatal("the victim talks")
	}
	return pid
}

// finish kills and reaps a child: a victim, or one that was restored as our child.
func finish(pid int) {
	unix.Kill(pid, unix.SIGKILL)
	unix.Wait4(pid, nil, 0, nil)
}

// number asks a victim how far it has counted.
func number(t *testing.T, dir string, pid int) int {
	t.Helper()
	os.Remove(filepath.Join(dir, "count"))
	if err := unix.Kill(pid, unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(kerneltest.Patient(10 * time.Second)); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if data, err := os.ReadFile(filepath.Join(dir, "count")); err == nil {
			n, err := strconv.Atoi(string(data))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the victim does not answer")
	return 0
}

// privately gives the calling test a mount namespace of its own with a /run that is its own, for it and what it starts: criu keeps what it found out about
// the kernel there. The thread ends with the test.
func privately(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("run", "/run", "tmpfs", 0, ""),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// talk starts a criu that is waited for at the end of the test.
func talk(t *testing.T, tool criu.Tool, files ...*os.File) *criu.Conn {
	t.Helper()
	c, end, err := tool.Start(files...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end() })
	return c
}
