package process_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

const allNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET

// exec appends the execution of a command found at an absolute path.
func exec(p *process.Program, argv ...string) *process.Op {
	return p.Call("execute", argv[0], unix.SYS_EXECVE, process.Str(argv[0]), process.Strs(argv), process.Strs([]string{"LANG=C"}))
}

// output runs the program with its stdout going to a pipe and returns what the process writes.
func output(t *testing.T, build func(p *process.Program)) string {
	t.Helper()
	return outputWith(t, map[string]*os.File{}, build)
}

func outputWith(t *testing.T, files map[string]*os.File, build func(p *process.Program)) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := &process.Program{}
	p.Call("connect stdout", "", unix.SYS_DUP3, p.File("out"), process.Int(1), process.Int(0))
	build(p)
	files["out"] = w
	child, err := process.Start(p, files)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer child.Pidfd.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := process.Reap(child.Pidfd); err != nil || exit != (process.Exit{}) {
		t.Fatalf("exit = %v, %v", exit, err)
	}
	return string(bytes.TrimSpace(text))
}

func ExampleStart() {
	p := &process.Program{Clone: unix.CLONE_NEWPID}
	p.Call("connect stdout", "", unix.SYS_DUP3, p.File("stdout"), process.Int(1), process.Int(0))
	p.Call("execute", "/bin/sh", unix.SYS_EXECVE, process.Str("/bin/sh"), process.Strs([]string{"sh", "-c", "echo process $$"}), process.Strs(nil))
	child, err := process.Start(p, map[string]*os.File{"stdout": os.Stdout})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer child.Pidfd.Close()
	fmt.Println(process.Reap(child.Pidfd))
	// Output:
	// process 1
	// exit code 0 <nil>
}

func TestStart(t *testing.T) {
	noLeaks(t)
	got := output(t, func(p *process.Program) { exec(p, "/bin/sh", "-c", "echo hello $LANG") })
	if got != "hello C" {
		t.Fatalf("got %q", got)
	}
}

func TestStartInNamespaces(t *testing.T) {
	got := output(t, func(p *process.Program) {
		p.Clone = allNamespaces
		name := []byte("inside")
		p.Call("set hostname", "inside", unix.SYS_SETHOSTNAME, process.Data(name), process.Int(len(name)))
		exec(p, "/bin/sh", "-c", "echo $$ $(uname -n)")
	})
	if got != "1 inside" {
		t.Fatalf("got %q", got)
	}
}

// A new time namespace is entered by the execution of the command; its offsets are written before.
func TestStartInTimeNamespace(t *testing.T) {
	kerneltest.Require(t, feature.Privileges, feature.TimeNamespaces)
	got := output(t, func(p *process.Program) {
		p.Clone = unix.CLONE_NEWTIME
		offsets := []byte("boottime 7777777 0\n")
		file := p.CallFD("open", "offsets", unix.SYS_OPENAT, process.Int(unix.AT_FDCWD), process.Str("/proc/self/timens_offsets"), process.Int(unix.O_WRONLY|unix.O_CLOEXEC))
		p.Call("write", "offsets", unix.SYS_WRITE, file, process.Data(offsets), process.Int(len(offsets)))
		exec(p, "/bin/cat", "/proc/self/timens_offsets", "/proc/uptime")
	})
	fields := strings.Fields(got)
	if len(fields) != 8 || fields[4] != "7777777" || len(fields[6]) < 7 {
		t.Errorf("got %q", got)
	}
}

func TestFailure(t *testing.T) {
	p := &process.Program{}
	p.Call("enter", "/no/such/place", unix.SYS_CHDIR, process.Str("/no/such/place"))
	exec(p, "/bin/true")
	_, err := process.Start(p, nil)
	var failure *process.Error
	if !errors.As(err, &failure) || failure.Op != 0 || failure.Errno != unix.ENOENT {
		t.Fatalf("err = %v", err)
	}
	if want := "cannot enter /no/such/place: no such file or directory"; err.Error() != want {
		t.Fatalf("err = %q, want %q", err, want)
	}
}
