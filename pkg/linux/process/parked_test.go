package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// The parker was assembled for the frame and the record that this package has.
func TestParkerKnowsTheLayout(t *testing.T) {
	text, err := os.ReadFile("parker/layout.inc")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]int{}
	for line := range strings.Lines(string(text)) {
		var at int
		if name, value, ok := strings.Cut(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), ".set")), ","); ok && strings.Contains(line, ".set") {
			if _, err := fmt.Sscan(value, &at); err != nil {
				t.Fatal(err)
			}
			known[name] = at
		}
	}
	if want := process.Layout(); fmt.Sprint(known) != fmt.Sprint(want) {
		t.Errorf("layout.inc has %v, want %v", known, want)
	}
}

// guest is a parked child that waits to be released, executes a command and writes to out.
type guest struct {
	*process.Parked
	release *os.File // to be written to
	out     *os.File // to be read from
}

// parkedWith starts a child that parks after the ops of before, waits, does those of after and executes a command.
func parkedWith(t *testing.T, p *process.Program, files map[string]*os.File, after func(p *process.Program), argv ...string) *guest {
	t.Helper()
	wait, release := pipe(t)
	out, w := pipe(t)
	all := map[string]*os.File{"wait": wait, "out": w}
	for name, file := range files {
		all[name] = file
	}
	p.Park()
	await(p, "wait for release", "wait", "")
	if after != nil {
		after(p)
	}
	p.Call("connect stdout", "", unix.SYS_DUP3, p.File("out"), process.Int(1), process.Int(0))
	exec(p, argv...)
	child, err := process.StartParked(p, all)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Close(); end(&child.Process) })
	_ = w.Close()
	_ = wait.Close()
	return &guest{child, release, out}
}

func (g *guest) let(t *testing.T) {
	t.Helper()
	if _, err := g.release.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
}

// until asks again and again.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not until now: %s", what)
		}
	}
}

func (g *guest) file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", g.Pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// descriptors are what a process holds, by the names of the files, besides stdio and what this process itself was left with.
func descriptors(t *testing.T, pid int) (names []string) {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	left := bequests(t)
	for _, link := range links {
		n, _ := strconv.Atoi(filepath.Base(link))
		if name, err := os.Readlink(link); err == nil && n > 2 && !left[n] {
			names = append(names, name)
		}
	}
	return names
}

// bequests are the descriptors that this process passes on to everybody, having got them itself.
func bequests(t *testing.T) map[int]bool {
	t.Helper()
	links, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	left := map[int]bool{}
	for _, link := range links {
		n, _ := strconv.Atoi(link.Name())
		if flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); n > 2 && err == nil && flags == 0 {
			left[n] = true
		}
	}
	return left
}

func waiting(g *guest) func() bool {
	return func() bool {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", g.Pid))
		return bytes.HasPrefix(text, []byte(fmt.Sprintf("%d ", unix.SYS_READ)))
	}
}

func ExampleStartParked() {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		fmt.Println(err)
		return
	}
	wait, release := os.NewFile(uintptr(fds[0]), "wait"), os.NewFile(uintptr(fds[1]), "release")
	defer wait.Close()
	p := &process.Program{Clone: unix.CLONE_NEWPID}
	p.Park()
	p.Call("wait for start", "", unix.SYS_READ, p.File("wait"), process.Data(make([]byte, 1)), process.Int(1))
	p.Call("connect stdout", "", unix.SYS_DUP3, p.File("stdout"), process.Int(1), process.Int(0))
	p.Call("execute", "/bin/echo", unix.SYS_EXECVE, process.Str("/bin/echo"), process.Strs([]string{"echo", "at last"}), process.Strs(nil))
	child, err := process.StartParked(p, map[string]*os.File{"wait": wait, "stdout": os.Stdout})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer child.Pidfd.Close()
	fmt.Println("created")
	release.Close()
	fmt.Println("started", child.Wait(context.Background()))
	fmt.Println(process.Reap(child.Pidfd))
	// Unordered output:
	// created
	// at last
	// started <nil>
	// exit code 0 <nil>
}

// While it waits, a parked child is a process of its own: not this one's binary or memory, nor its name and arguments, not
// to be traced, and with no more descriptors than it is to use.
func TestParkedChild(t *testing.T) {
	noLeaks(t)
	p := &process.Program{Clone: unix.CLONE_NEWNS | unix.CLONE_NEWPID}
	kept := p.CallFD("open", "/dev/zero", unix.SYS_OPENAT, process.Int(unix.AT_FDCWD), process.Str("/dev/zero"), process.Int(unix.O_RDONLY|unix.O_CLOEXEC))
	p.CallFD("open", "/dev/full", unix.SYS_OPENAT, process.Int(unix.AT_FDCWD), process.Str("/dev/full"), process.Int(unix.O_RDONLY|unix.O_CLOEXEC))
	g := parkedWith(t, p, null(t), func(p *process.Program) {
		p.Call("connect stdin", "", unix.SYS_DUP3, kept, process.Int(0), process.Int(0))
		p.Call("connect", "5", unix.SYS_DUP3, p.File("null"), process.Int(100), process.Int(0))
	}, "/bin/ls", "-l", "/proc/self/fd/")
	until(t, "the child waits", waiting(g))

	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", g.Pid)); exe != "/memfd:init (deleted)" || err != nil {
		t.Errorf("exe = %q, %v", exe, err)
	}
	if name, args := g.file(t, "comm"), strings.TrimRight(g.file(t, "cmdline"), "\x00"); name != "init\n" || args != "init" {
		t.Errorf("name = %q, arguments = %q", name, args)
	}
	if env := strings.Trim(g.file(t, "environ"), "\x00"); env != "" {
		t.Errorf("environment = %q", env)
	}
	for line := range strings.Lines(g.file(t, "maps")) {
		if fields := strings.Fields(line); len(fields) > 5 && fields[5] != "/memfd:init" && fields[5] != "/memfd:program" && !strings.HasPrefix(fields[5], "[") {
			t.Errorf("it has mapped %s", line)
		}
	}
	// The pipes to be released and to write to, and the one to report by.
	names := strings.Join(descriptors(t, g.Pid), " ")
	if strings.Count(names, "pipe:") != 3 || strings.Count(names, "/dev/zero") != 1 || strings.Count(names, "/dev/null") != 1 || len(strings.Fields(names)) != 5 {
		t.Errorf("it holds %s", names)
	}

	g.let(t)
	if err := g.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := io.ReadAll(g.out)
	for _, want := range []string{"0 -> /dev/zero", "1 -> pipe:", "100 -> /dev/null"} {
		if !strings.Contains(string(list), want) {
			t.Errorf("the command has not %s, but\n%s, %v", want, list, err)
		}
	}
	if n := strings.Count(string(list), " -> "); n != 5+len(bequests(t)) { // and stderr and the directory
		t.Errorf("the command has\n%s", list)
	}
	if err := g.Wait(t.Context()); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

// A parked child is not dumpable, whatever it was before, and its command is.
func TestParkedChildIsNotDumpable(t *testing.T) {
	noLeaks(t)
	p := &process.Program{}
	g := parkedWith(t, p, nil, func(p *process.Program) {
		p.Call("ask", "dumpable", unix.SYS_PRCTL, process.Int(unix.PR_GET_DUMPABLE)).Out = p.Slot()
	}, "/bin/true")
	g.let(t)
	if err := g.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if value, ok := g.Slot(1); value != 0 || !ok {
		t.Errorf("dumpable = %d, %v", value, ok)
	}
}

// Failures before, at and behind the park point are told alike.
func TestParkedStartFails(t *testing.T) {
	noLeaks(t)
	null := null(t)
	build := func() *process.Program {
		p := &process.Program{Clone: unix.CLONE_NEWNS}
		p.Call("set up", "before", unix.SYS_GETPID)
		p.Park()
		p.Call("set up", "behind", unix.SYS_FCNTL, p.File("null"), process.Int(unix.F_GETFD))
		exec(p, "/bin/true")
		return p
	}
	start := func(p *process.Program) error {
		child, err := process.StartParked(p, null)
		if err != nil {
			return err
		}
		if err := child.Wait(t.Context()); err != nil {
			return err
		}
		_, err = process.Reap(child.Pidfd)
		return errors.Join(err, child.Pidfd.Close())
	}
	for i, p := range build().Ops {
		bad := build()
		bad.Ops[i].Nr = noSuchCall
		err := start(bad)
		want := &process.Error{Step: p.Step, Path: p.Path, Errno: unix.ENOSYS, Op: i}
		if i == 1 {
			if err == nil || err.Error() != "bad program: it has no park point" {
				t.Errorf("without a park point: %v", err)
			}
			continue
		}
		if got, ok := errors.AsType[*process.Error](err); !ok || *got != *want {
			t.Errorf("op %d: got %v, want %v", i, err, want)
		}
	}
	if err := start(build()); err != nil {
		t.Error(err)
	}

	absent := build()
	absent.Ops[3].Args[0] = process.Str("/none")
	if err := start(absent); err == nil || !strings.HasPrefix(err.Error(), "cannot execute /bin/true: no such file or directory\nhint: ") {
		t.Errorf("err = %v", err)
	}
	all := build()
	all.Ops[3].Args[0], all.Ops[3].Accept = process.Str("/none"), process.Accept(unix.ENOENT)
	if err := start(all); !errors.Is(err, unix.ENOENT) {
		t.Errorf("err = %v", err)
	}
	stumble := build()
	stumble.Ops[2] = process.Op{Step: "stumble", Nr: unix.SYS_KILL, Args: [6]process.Arg{process.Int(0), process.Int(int(unix.SIGTERM))}}
	stumble.Ops[0] = process.Op{Step: "make session", Nr: unix.SYS_SETSID}
	if err := start(stumble); err == nil || err.Error() != "cannot stumble: killed by SIGTERM" {
		t.Errorf("err = %v", err)
	}
	if _, err := process.Start(build(), null); err == nil || err.Error() != "bad program: op 1 (park): only StartParked can park" {
		t.Errorf("err = %v", err)
	}
}

// The park point itself can fail: where nothing may be executed, and where the parker cannot map the image.
func TestCannotPark(t *testing.T) {
	noLeaks(t)
	limit := make([]byte, 16) // struct rlimit64 of zeros
	for want, op := range map[string]process.Op{
		"cannot park: bad file descriptor": {Nr: unix.SYS_CLOSE_RANGE, Args: [6]process.Arg{process.Int(3), process.Int(^uint32(0))}},
		// Too little for a stack, so that the kernel kills the child in the middle of the execution.
		"cannot park: killed by SIGSEGV": {Nr: unix.SYS_PRLIMIT64, Args: [6]process.Arg{{}, process.Int(unix.RLIMIT_AS), process.Data(limit)}},
	} {
		p := &process.Program{}
		op.Step = "spoil"
		p.Ops = append(p.Ops, op)
		p.Park()
		exec(p, "/bin/true")
		child, err := process.StartParked(p, nil)
		if err == nil {
			err = child.Wait(t.Context())
		}
		if err == nil || err.Error() != want {
			t.Errorf("err = %v, want %s", err, want)
		}
	}
}

// A context that ends takes nothing with it; a killed child is told of; Close gives it up.
func TestWaitForParked(t *testing.T) {
	noLeaks(t)
	p := &process.Program{}
	g := parkedWith(t, p, nil, nil, "/bin/true")
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if err := g.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		cancel()
	}
	if results := g.Results(); results[0] != 0 || results[2] != process.NotRun {
		t.Errorf("\n%s", g)
	}
	if err := process.Signal(g.Pidfd, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := g.Wait(t.Context()); err == nil || err.Error() != "cannot wait for release: killed by SIGKILL" {
			t.Errorf("err = %v", err)
		}
	}

	g = parkedWith(t, &process.Program{}, nil, nil, "/bin/true")
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Wait(t.Context()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("err = %v", err)
	}
	g.let(t)
	if exit, err := process.Reap(g.Pidfd); exit != (process.Exit{}) || err != nil {
		t.Errorf("exit = %v, %v", exit, err)
	}
}

// A child that closes everything some time before it executes, the pipe to its starter as well, has not executed yet.
func TestWaitOutlastsTheDescriptors(t *testing.T) {
	noLeaks(t)
	for _, command := range []string{"/bin/true", "/none"} {
		p := &process.Program{}
		p.Park()
		p.Call("close descriptors", "", unix.SYS_CLOSE_RANGE, process.Int(3), process.Int(^uint32(0)), process.Int(0))
		rest := make([]byte, 16)
		rest[11] = 3 // some 50 ms
		p.Call("rest", "", unix.SYS_NANOSLEEP, process.Data(rest), process.Int(0))
		exec(p, command)
		child, err := process.StartParked(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = child.Wait(t.Context())
		if command == "/none" {
			if failure, ok := errors.AsType[*process.Error](err); !ok || failure.Op != 3 || failure.Errno != unix.ENOENT {
				t.Errorf("err = %v", err)
			}
			continue
		}
		if err != nil || child.Results()[2] != 0 || child.Results()[3] != process.NotRun {
			t.Errorf("err = %v\n%s", err, child)
		}
		end(&child.Process)
	}
}
