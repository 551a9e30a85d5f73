package process_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

const noSuchCall = 1 << 20 // ENOSYS

// isolated is a start with some of each kind of step.
func isolated() *process.Program {
	p := &process.Program{Clone: allNamespaces}
	name := []byte("box")
	p.Call("make private", "/", unix.SYS_MOUNT, process.Int(0), process.Str("/"), process.Int(0), process.Int(unix.MS_REC|unix.MS_PRIVATE))
	p.Call("mount", "/proc", unix.SYS_MOUNT, process.Str("proc"), process.Str("/proc"), process.Str("proc"))
	p.Call("set hostname", "box", unix.SYS_SETHOSTNAME, process.Data(name), process.Int(len(name)))
	p.Call("connect stdin", "", unix.SYS_DUP3, p.File("null"), process.Int(0), process.Int(0))
	root := p.CallFD("open", "/", unix.SYS_OPENAT, process.Int(unix.AT_FDCWD), process.Str("/"), process.Int(unix.O_PATH|unix.O_CLOEXEC))
	p.Call("enter", "/", unix.SYS_FCHDIR, root)
	p.Call("become", "nobody", unix.SYS_SETRESUID, process.Int(65534), process.Int(65534), process.Int(65534))
	exec(p, "/bin/true")
	return p
}

func null(t *testing.T) map[string]*os.File {
	t.Helper()
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return map[string]*os.File{"null": file}
}

func TestFailureOfEachOp(t *testing.T) {
	noLeaks(t)
	files := null(t)
	for i := range isolated().Ops {
		p := isolated()
		p.Ops[i].Nr = noSuchCall
		child, err := process.Start(p, files)
		want := process.Error{Step: p.Ops[i].Step, Path: p.Ops[i].Path, Errno: unix.ENOSYS, Op: i}
		var got *process.Error
		if child != nil || !errors.As(err, &got) || *got != want {
			t.Errorf("op %d: got %v, want %v", i, err, &want)
		}
	}
	child, err := process.Start(isolated(), files)
	if err != nil {
		t.Fatal(err)
	}
	defer child.Pidfd.Close()
	if exit, err := process.Reap(child.Pidfd); exit != (process.Exit{}) || err != nil {
		t.Errorf("exit = %v, %v", exit, err)
	}
}

func TestCommandNotFound(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	denied := filepath.Join(dir, "denied")
	if err := os.WriteFile(denied, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(dir, "absent")
	lookup := process.Accept(unix.ENOENT, unix.EACCES, unix.ENOTDIR)
	for _, test := range []struct {
		paths []string
		want  unix.Errno
	}{
		{[]string{absent}, unix.ENOENT},
		{[]string{absent, denied + "/below"}, unix.ENOENT},
		{[]string{denied, absent}, unix.EACCES},
		{[]string{absent, denied, "/bin/true"}, 0},
	} {
		p := &process.Program{}
		for _, path := range test.paths {
			exec(p, path).Accept = lookup
		}
		child, err := process.Start(p, nil)
		if test.want == 0 {
			if err != nil {
				t.Errorf("%q: %v", test.paths, err)
				continue
			}
			_, _ = process.Reap(child.Pidfd)
			_ = child.Pidfd.Close()
			continue
		}
		var failure *process.Error
		if !errors.As(err, &failure) || failure.Errno != test.want || failure.Op != len(test.paths)-1 || failure.Hint() == "" {
			t.Errorf("%q: got %v, want %v", test.paths, err, test.want)
		}
	}
}

// An accepted error skips, so does a success; a slot holds the latest result, and is no descriptor before.
func TestJumps(t *testing.T) {
	noLeaks(t)
	p := &process.Program{}
	s := p.Slot()
	p.Call("fail", "", noSuchCall).Accept = process.Accept(unix.ENOSYS)
	p.Ops[0].Skip = 1
	p.Call("not reached", "", noSuchCall)
	p.Call("close", "nothing", unix.SYS_CLOSE, process.In(s)).Accept = process.Accept(unix.EBADF)
	p.Call("number", "", unix.SYS_DUP3, process.Int(2), process.Int(100), process.Int(0)).Out = s
	p.Ops[3].Else = 1
	p.Call("not reached", "", noSuchCall)
	p.Call("close", "100", unix.SYS_CLOSE, process.In(s))
	p.Call("close", "100", unix.SYS_CLOSE, process.In(s))
	results, err := process.Results(p, nil)
	var failure *process.Error
	if !errors.As(err, &failure) || failure.Op != 6 || failure.Errno != unix.EBADF {
		t.Fatalf("err = %v", err)
	}
	if results[1] != process.NotRun || results[4] != process.NotRun || results[3] != 100 {
		t.Fatalf("results = %v", results)
	}
}

// Only the accepted errors are accepted, whichever word of the set they are in.
func TestAccept(t *testing.T) {
	noLeaks(t)
	files := null(t)
	for accept, want := range map[unix.Errno]int{unix.ENOTSOCK: 1, unix.ENOTSOCK - 64: 0, unix.ENOTSOCK + 1: 0, unix.EPERM: 0} {
		p := &process.Program{}
		p.Call("listen", "", unix.SYS_LISTEN, p.File("null"), process.Int(1)).Accept = process.Accept(accept)
		p.Call("end", "", noSuchCall)
		_, err := process.Start(p, files)
		if failure, ok := errors.AsType[*process.Error](err); !ok || failure.Op != want {
			t.Errorf("with %v accepted: %v", accept, err)
		}
	}
}

func TestChildKilledBeforeItExecutes(t *testing.T) {
	noLeaks(t)
	p := &process.Program{}
	self := p.CallFD("ask", "", unix.SYS_GETPID)
	p.Call("stumble", "", unix.SYS_KILL, self, process.Int(int(unix.SIGTERM)))
	exec(p, "/bin/true")
	_, err := process.Start(p, nil)
	if err == nil || err.Error() != "cannot stumble: killed by SIGTERM" {
		t.Fatalf("err = %v", err)
	}
}

func TestTimeout(t *testing.T) {
	noLeaks(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process.Program{}
	p.Call("open", fifo, unix.SYS_OPENAT, process.Int(unix.AT_FDCWD), process.Str(fifo), process.Int(unix.O_RDONLY))
	exec(p, "/bin/true")
	_, err := process.StartWithin(p, nil, 20*time.Millisecond)
	var failure *process.Error
	if !errors.As(err, &failure) || failure.Op != 0 || !errors.Is(err, unix.ETIMEDOUT) {
		t.Fatalf("err = %v", err)
	}
	if want := "cannot open " + fifo + ": still not done "; !strings.HasPrefix(err.Error(), want) {
		t.Fatalf("err = %v", err)
	}
}

func TestMissingFile(t *testing.T) {
	p := &process.Program{}
	p.Call("connect stdin", "", unix.SYS_DUP3, p.File("null"), process.Int(0), process.Int(0))
	_, err := process.Start(p, map[string]*os.File{"zero": nil})
	if err == nil || err.Error() != `cannot start: no file "null" among ["zero"]` {
		t.Fatalf("err = %v", err)
	}
}
