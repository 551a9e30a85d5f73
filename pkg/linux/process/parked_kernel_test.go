package process_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	osexec "os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// filter appends a seccomp filter that lets everything pass but one call; what becomes of that is the action. The filter's
// result goes to a slot.
func filter(p *process.Program, nr uint32, action uint32, flags int) process.Slot {
	var code []byte
	for _, in := range []struct {
		op     uint16
		jt, jf uint8
		k      uint32
	}{
		{unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, 0, 0, 0},
		{unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, 0, 1, nr},
		{unix.BPF_RET | unix.BPF_K, 0, 0, action},
		{unix.BPF_RET | unix.BPF_K, 0, 0, unix.SECCOMP_RET_ALLOW},
	} {
		code = binary.NativeEndian.AppendUint16(code, in.op)
		code = append(code, in.jt, in.jf)
		code = binary.NativeEndian.AppendUint32(code, in.k)
	}
	prog := make([]byte, 16)
	binary.NativeEndian.PutUint16(prog, 4)
	s := p.Slot()
	p.Call("filter system calls", "", unix.SYS_SECCOMP, process.Int(unix.SECCOMP_SET_MODE_FILTER), process.Int(flags),
		process.Data(prog, process.Ref{At: 8, Data: code})).Out = s
	return s
}

// A filter that is there before the park point does not keep the child from parking, nor its result from being kept.
func TestParkUnderFilter(t *testing.T) {
	noLeaks(t)
	kerneltest.Require(t, feature.Seccomp)
	p := &process.Program{}
	filter(p, unix.SYS_GETPPID, unix.SECCOMP_RET_ERRNO|uint32(unix.EPROTO), 0)
	g := parkedWith(t, p, nil, func(p *process.Program) {
		p.Call("ask", "parent", unix.SYS_GETPPID).Accept = process.Accept(unix.EPROTO)
	}, "/bin/true")
	g.let(t)
	if err := g.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := g.Results()[3]; got != -int64(unix.EPROTO) {
		t.Errorf("the filtered call gave %d", got)
	}
}

// The starter takes a seccomp listener over from its parked child: the slot tells the number, pidfd_getfd does the rest.
func TestListenerOfParkedChild(t *testing.T) {
	noLeaks(t)
	kerneltest.Require(t, feature.Seccomp)
	var s process.Slot
	ready, told := pipe(t)
	p := &process.Program{}
	wait, release := pipe(t)
	p.Park()
	s = filter(p, unix.SYS_SYNC, unix.SECCOMP_RET_USER_NOTIF, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	p.Call("tell", "", unix.SYS_WRITE, p.File("told"), process.Str("x"), process.Int(1))
	await(p, "wait", "wait", "")
	p.Call("close", "listener", unix.SYS_CLOSE, process.In(s))
	exec(p, "/bin/sync")
	child, err := process.StartParked(p, map[string]*os.File{"told": told, "wait": wait})
	if err != nil {
		t.Fatal(err)
	}
	defer end(&child.Process)
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	n, ok := child.Slot(s)
	if !ok || n < 3 {
		t.Fatalf("slot = %d, %v", n, ok)
	}
	listener, err := unix.PidfdGetfd(int(child.Pidfd.Fd()), int(n), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listener)
	if name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", listener)); name != "anon_inode:seccomp notify" || err != nil {
		t.Fatalf("%q, %v", name, err)
	}
	if _, err := release.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 20_000); n != 1 || err != nil || poll[0].Revents&unix.POLLIN == 0 {
		t.Errorf("no notification: %d, %v, %+v", n, err, poll)
	}
}

// A parked start fits into the smallest memory limits, and leaves the starter alone where it does not.
func TestParkWithTinyMemoryLimit(t *testing.T) {
	noLeaks(t)
	g, files := group(t)
	started := false
	for _, limit := range []uint64{16 << 10, 128 << 10, 1 << 20} {
		if err := g.Set(spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(limit)}}); err != nil {
			t.Fatal(err)
		}
		p := &process.Program{Clone: unix.CLONE_NEWNS}
		cgroup.Enter(p, files)
		p.Park()
		p.Call("ask", "", unix.SYS_GETPID)
		exec(p, "/bin/busybox", "true")
		child, err := process.StartParked(p, files)
		if err == nil {
			err = child.Wait(t.Context())
		}
		if err == nil {
			_, _ = process.Reap(child.Pidfd)
			_ = child.Pidfd.Close()
		}
		t.Logf("memory.max %d: %v", limit, err)
		if limit == 1<<20 {
			started = err == nil
		}
	}
	if !started {
		t.Error("no parked start with memory.max 1Mi")
	}
}

// A child that starts elsewhere parks elsewhere.
func TestParkInPidAndTimeNamespace(t *testing.T) {
	noLeaks(t)
	kerneltest.Require(t, feature.TimeNamespaces)
	init := sleeper(t, unix.CLONE_NEWPID)
	p := &process.Program{PidNS: "ns", Files: []string{"ns"}, Clone: unix.CLONE_NEWTIME}
	g := parkedWith(t, p, map[string]*os.File{"ns": init.Pidfd}, nil, "/bin/sh", "-c", "echo $$ $(readlink /proc/self/ns/time)")
	until(t, "the child waits", waiting(g))
	times := map[string]string{}
	for _, pid := range []string{"self", strconv.Itoa(g.Pid)} {
		var err error
		if times[pid], err = os.Readlink("/proc/" + pid + "/ns/time"); err != nil {
			t.Fatal(err)
		}
	}
	inside := times[strconv.Itoa(g.Pid)]
	if status := g.file(t, "status"); !strings.Contains(status, "NSpid:\t"+strconv.Itoa(g.Pid)+"\t2\n") || inside == times["self"] {
		t.Errorf("time namespaces %v\n%s", times, status)
	}
	g.let(t)
	if err := g.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(g.out); string(text) != "2 "+inside+"\n" || err != nil {
		t.Errorf("got %q, %v, want time namespace %s", text, err, inside)
	}
}

// Many at a time: each is parked, released, executes and is reaped, or fails, or is killed; nothing is left of them.
func TestManyParked(t *testing.T) {
	noLeaks(t)
	starts := 200
	if os.Getenv("RECONCILER_SOAK") != "" {
		starts = 20_000
	}
	begin := mappings(t)
	var starters sync.WaitGroup
	for starter := range 8 {
		starters.Go(func() {
			for i := range starts / 8 {
				if err := parkOne(t, starter+i); err != nil {
					t.Errorf("start %d: %v", i, err)
				}
			}
		})
	}
	starters.Wait()
	runtime.GC()
	if left := mappings(t); left != begin {
		t.Errorf("%d images were mapped before, %d are now", begin, left)
	}
}

func mappings(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "memfd:")
}

func parkOne(t *testing.T, i int) error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	wait, release := os.NewFile(uintptr(fds[0]), "wait"), os.NewFile(uintptr(fds[1]), "release")
	defer wait.Close()
	defer release.Close()
	p := &process.Program{Clone: unix.CLONE_NEWUTS}
	p.Park()
	await(p, "wait", "wait", "")
	command := "/bin/true"
	if i%3 == 0 {
		command = "/none"
	}
	exec(p, command)
	child, err := process.StartParked(p, map[string]*os.File{"wait": wait})
	if err != nil {
		return err
	}
	if i%5 == 0 {
		err = process.Signal(child.Pidfd, unix.SIGKILL)
	} else {
		_, err = release.Write([]byte("x"))
	}
	wanted := map[bool]unix.Errno{true: unix.ENOENT}[i%3 == 0]
	if i%5 == 0 {
		wanted = unix.EINTR
	}
	got := child.Wait(t.Context())
	switch {
	case err != nil:
		return err
	case wanted != 0 && !errors.Is(got, wanted), wanted == 0 && got != nil:
		return fmt.Errorf("Wait gave %v, want %v", got, wanted)
	case got != nil:
		return nil
	}
	exit, err := process.Reap(child.Pidfd)
	if exit != (process.Exit{}) {
		err = errors.Join(err, fmt.Errorf("exit = %v", exit))
	}
	return errors.Join(err, child.Pidfd.Close())
}

// starterEnv makes the test binary the starter that is killed.
const starterEnv = "PROCESS_TEST_STARTER"

// A starter that is killed leaves its parked child, which keeps waiting until its cgroup is killed.
func TestStarterIsKilled(t *testing.T) {
	noLeaks(t)
	kerneltest.Require(t, feature.CloneIntoCgroup, feature.CgroupKill)
	if dir := os.Getenv(starterEnv); dir != "" {
		mortal(t, dir)
	}
	g, files := group(t)
	cmd := osexec.Command(os.Args[0], "-test.run=^TestStarterIsKilled$")
	cmd.Env = append(os.Environ(), starterEnv+"="+files[cgroup.FileDir].Name())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	_, _ = cmd.Process.Kill(), cmd.Wait()
	if left, err := g.Procs(); len(left) != 1 || err != nil {
		t.Errorf("in the cgroup: %v, %v", left, err)
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "the cgroup is empty", func() bool {
		left, err := g.Procs()
		return len(left) == 0 && err == nil
	})
}

// mortal parks a child in a cgroup, says so and waits for its own end.
func mortal(t *testing.T, dir string) {
	wait, release := pipe(t)
	p := &process.Program{Cgroup: "cgroup"}
	p.File("cgroup")
	p.Park()
	await(p, "wait", "wait", "")
	p.Call("close", "release", unix.SYS_CLOSE, p.File("release")) // so it has that end itself, and no end of file wakes it
	exec(p, "/bin/true")
	files := map[string]*os.File{"wait": wait, "release": release}
	maps.Copy(files, map[string]*os.File{"cgroup": open(t, dir)})
	if _, err := process.StartParked(p, files); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print("parked")
	select {}
}
