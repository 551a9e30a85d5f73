package process_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// confined is a program that parks, waits and is born into the pid namespace of a file.
func confined(before, after func(p *process.Program), argv ...string) *process.Program {
	p := &process.Program{}
	p.Park()
	p.Call("choose pid namespace", "", unix.SYS_SETNS, p.File("ns"), process.Int(unix.CLONE_NEWPID))
	await(p, "wait for release", "wait", "")
	p.Call("connect stdout", "", unix.SYS_DUP3, p.File("out"), process.Int(1), process.Int(0))
	p.Call("close descriptors", "", unix.SYS_CLOSE_RANGE, process.Int(3), process.Int(^uint32(0)), process.Int(0))
	if before != nil {
		before(p)
	}
	p.Reborn()
	if after != nil {
		after(p)
	}
	p.Call("make session", "", unix.SYS_SETSID)
	exec(p, argv...)
	return p
}

// startConfined starts such a program and releases it.
func startConfined(t *testing.T, p *process.Program) *guest {
	t.Helper()
	init := sleeper(t, unix.CLONE_NEWPID)
	wait, release := pipe(t)
	out, w := pipe(t)
	child, err := process.StartParked(p, map[string]*os.File{"ns": init.Pidfd, "wait": wait, "out": w})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Close(); end(&child.Process) })
	_, _ = w.Close(), wait.Close()
	return &guest{child, release, out}
}

// The child of a parked process is this process's, in another pid namespace from its first moment on; the parked one is gone.
func TestReborn(t *testing.T) {
	noLeaks(t)
	p := confined(nil, nil, "/bin/sh", "-c", "echo $$ $PPID; ls /proc/self/fd | wc -l; exit 3")
	g := startConfined(t, p)
	until(t, "the child waits", waiting(g))
	parked := g.Pid
	if status := g.file(t, "status"); strings.Count(status[strings.Index(status, "NSpid:"):strings.Index(status, "NSpgid:")], "\t") != 1 {
		t.Errorf("the parked process is in another pid namespace:\n%s", status)
	}
	g.let(t)
	if err := g.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g.Pid == parked || unix.Kill(parked, 0) != unix.ESRCH {
		t.Errorf("process %d was parked, %d is there", parked, g.Pid)
	}
	text, err := io.ReadAll(g.out)
	if want := "2 0\n4\n"; string(text) != want || err != nil { // stdio and the directory
		t.Errorf("got %q, %v, want %q", text, err, want)
	}
	if exit, err := process.Reap(g.Pidfd); exit.Code != 3 || err != nil {
		t.Errorf("exit = %v, %v", exit, err)
	}
	if err := g.Wait(t.Context()); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

// While the child has yet to execute anything, its parent has ended already and shares nothing with it; it is not dumpable.
func TestRebornWaits(t *testing.T) {
	noLeaks(t)
	p := confined(nil, func(p *process.Program) {
		p.Call("ask", "dumpable", unix.SYS_PRCTL, process.Int(unix.PR_GET_DUMPABLE)).Out = p.Slot()
		p.Call("rest", "", unix.SYS_PPOLL)
	}, "/bin/true")
	g := startConfined(t, p)
	g.let(t)
	parked := g.Pid
	name := ""
	until(t, "the parked process has ended", func() bool {
		stat := g.file(t, "stat")
		name = strings.TrimSpace(g.file(t, "comm"))
		return strings.Contains(stat, ") Z ")
	})
	child, err := strconv.Atoi(strings.TrimPrefix(name, "born "))
	if err != nil {
		t.Fatalf("its name is %q", name)
	}
	until(t, "the child has asked", func() bool { return g.Results()[len(p.Ops)-4] == 0 })
	if value, ok := g.Slot(1); value != 0 || !ok {
		t.Errorf("dumpable = %d, %v", value, ok)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child))
	if !strings.Contains(string(text), fmt.Sprintf("PPid:\t%d\n", os.Getpid())) || !strings.Contains(string(text), fmt.Sprintf("NSpid:\t%d\t2\n", child)) || err != nil {
		t.Errorf("the child is\n%s, %v", text, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Wait(ctx); !errors.Is(err, context.Canceled) || g.Pid != parked {
		t.Errorf("err = %v, pid %d", err, g.Pid)
	}
	if err := unix.Kill(child, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := g.Wait(t.Context()); err == nil || err.Error() != "cannot rest: killed by SIGKILL" {
		t.Errorf("err = %v", err)
	}
}

// Failures before, at and behind the rebirth are told as all others.
func TestRebornFails(t *testing.T) {
	noLeaks(t)
	kerneltest.Require(t, feature.Seccomp)
	refuse := func(nr uint32, action uint32) func(*process.Program) {
		return func(p *process.Program) { filter(p, nr, action, 0) }
	}
	const mustAllow = "\nhint: a seccomp filter must allow prctl (PR_SET_NAME) and clone (CLONE_PARENT)"
	fail := func(p *process.Program) { p.Call("fail", "here", noSuchCall) }
	stumble := func(p *process.Program) {
		self := p.CallFD("ask", "", unix.SYS_GETPID)
		p.Call("stumble", "", unix.SYS_KILL, self, process.Int(int(unix.SIGTERM)))
	}
	for _, test := range []struct {
		want          string
		before, after func(*process.Program)
		command       string
	}{
		{"cannot fail here: function not implemented", fail, nil, "/bin/true"},
		{"cannot fail here: function not implemented", nil, fail, "/bin/true"},
		{"cannot stumble: killed by SIGTERM", stumble, nil, "/bin/true"},
		{"cannot stumble: killed by SIGTERM", nil, stumble, "/bin/true"},
		{"cannot execute /none: no such file or directory\nhint: the file, or the interpreter or loader that it names, is not in the rootfs", nil, nil, "/none"},
		{"cannot be born inside: operation not permitted" + mustAllow, refuse(unix.SYS_CLONE, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)), nil, "/bin/true"},
		{"cannot be born inside: operation not permitted" + mustAllow, refuse(unix.SYS_PRCTL, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)), nil, "/bin/true"},
		{"cannot be born inside: killed by SIGSYS", refuse(unix.SYS_CLONE, unix.SECCOMP_RET_KILL_PROCESS), nil, "/bin/true"},
		{"cannot make session: operation not permitted", refuse(unix.SYS_SETSID, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)), nil, "/bin/true"},
	} {
		g := startConfined(t, confined(test.before, test.after, test.command))
		g.let(t)
		if err := g.Wait(t.Context()); err == nil || err.Error() != test.want {
			t.Errorf("err = %v, want %s", err, test.want)
		}
	}
}

// A pid namespace whose first process has ended takes no child.
func TestRebornTooLate(t *testing.T) {
	noLeaks(t)
	init := sleeper(t, unix.CLONE_NEWPID)
	wait, release := pipe(t)
	child, err := process.StartParked(confined(nil, nil, "/bin/true"), map[string]*os.File{"ns": init.Pidfd, "wait": wait, "out": release})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the child waits", waiting(&guest{Parked: child}))
	_ = process.Signal(init.Pidfd, unix.SIGKILL)
	until(t, "the first process has ended", func() bool { _, ended, _ := process.Peek(init.Pidfd); return ended })
	if _, err := release.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	failure, ok := errors.AsType[*process.Error](child.Wait(t.Context()))
	if !ok || failure.Step != "be born inside" || failure.Errno != unix.ENOMEM {
		t.Errorf("err = %v", failure)
	}
}

// Until it has told of its child a parked process may have any name, even another process's number: whom that is gets no signal.
func TestRebornNamedLikeAPid(t *testing.T) {
	noLeaks(t)
	victim := sleeper(t, 0)
	for _, name := range []string{strconv.Itoa(victim.Pid), "born 1"} { // 1 is no child of ours
		p := &process.Program{}
		p.Park()
		p.Call("take a name", "", unix.SYS_PRCTL, process.Int(unix.PR_SET_NAME), process.Str(name))
		p.Call("die", "", unix.SYS_EXIT_GROUP, process.Int(5))
		p.Reborn()
		exec(p, "/bin/true")
		child, err := process.StartParked(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Wait(t.Context()); err == nil {
			t.Errorf("%q: it has executed its command", name)
		}
		_ = child.Close()
		if _, ended, err := process.Peek(victim.Pidfd); ended || err != nil {
			t.Errorf("%q: the process of that number has ended: %v", name, err)
		}
	}
}

// A parked process that is killed when it has had its child and has not told yet is a failed start; its cgroup holds the child.
func TestRebornUntold(t *testing.T) {
	noLeaks(t)
	kerneltest.Require(t, feature.Seccomp, feature.CloneIntoCgroup)
	grp, files := group(t)
	p := confined(killSecondName, func(p *process.Program) { p.Call("rest", "", unix.SYS_PPOLL) }, "/bin/true")
	p.Cgroup = "cgroup"
	p.File("cgroup")
	init := sleeper(t, unix.CLONE_NEWPID)
	wait, release := pipe(t)
	files["ns"], files["wait"], files["out"] = init.Pidfd, wait, release
	child, err := process.StartParked(p, files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := release.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	until(t, "the parked process was killed", func() bool { _, ended, _ := process.Peek(child.Pidfd); return ended })
	var left []int
	until(t, "its child is there", func() bool { left, err = grp.Procs(); return len(left) == 1 })
	pidfd, err := unix.PidfdOpen(left[0], 0)
	if err != nil {
		t.Fatal(err)
	}
	stray := &process.Process{Pid: left[0], Pidfd: os.NewFile(uintptr(pidfd), "stray")}
	if err := grp.Kill(); err != nil {
		t.Fatal(err)
	}
	err = child.Wait(t.Context())
	end(stray)
	if failure, ok := errors.AsType[*process.Error](err); !ok || failure.Errno != unix.EINTR || failure.Signal != unix.SIGSYS {
		t.Errorf("err = %v", err)
	}
}

// killSecondName has a filter kill who takes a name from its stack, as the parked process does to tell its child's pid. The name it
// takes first is in the parker, at 0x400000.
func killSecondName(p *process.Program) {
	var code []byte
	for _, in := range []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_PRCTL, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 28}, // the upper half of the second argument
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	} {
		code = binary.NativeEndian.AppendUint16(code, in.Code)
		code = append(code, in.Jt, in.Jf)
		code = binary.NativeEndian.AppendUint32(code, in.K)
	}
	prog := make([]byte, 16)
	binary.NativeEndian.PutUint16(prog, uint16(len(code)/8))
	p.Call("filter system calls", "", unix.SYS_SECCOMP, process.Int(unix.SECCOMP_SET_MODE_FILTER), process.Int(0), process.Data(prog, process.Ref{At: 8, Data: code}))
}

// Many at a time, some failing on either side of the rebirth, some killed: nothing is left of them.
func TestManyReborn(t *testing.T) {
	noLeaks(t)
	starts := 200
	if os.Getenv("RECONCILER_SOAK") != "" {
		starts = 20_000
	}
	ns := sleeper(t, unix.CLONE_NEWPID).Pidfd
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fail := func(p *process.Program) { p.Call("fail", "here", noSuchCall) }
	var starters sync.WaitGroup
	for starter := range 8 {
		starters.Go(func() {
			for i := range starts / 8 {
				p, want := confined(nil, nil, "/bin/true"), unix.Errno(0)
				switch (starter + i) % 5 {
				case 1:
					p, want = confined(fail, nil, "/bin/true"), unix.ENOSYS
				case 2:
					p, want = confined(nil, fail, "/bin/true"), unix.ENOSYS
				case 3:
					p, want = confined(nil, nil, "/none"), unix.ENOENT
				}
				child, err := process.StartParked(p, map[string]*os.File{"ns": ns, "wait": null, "out": null})
				if err == nil {
					err = child.Wait(t.Context())
				}
				if want == 0 && err != nil || want != 0 && !errors.Is(err, want) {
					t.Errorf("start %d: %v, want %v", i, err, want)
				}
				if err == nil {
					end(&child.Process)
				}
			}
		})
	}
	starters.Wait()
}
