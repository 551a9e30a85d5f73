package process_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// pipe makes one whose ends block those who read them, unlike those of os.Pipe.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// await appends a read that lasts until the other end of the file is written to or closed. The child's own copy of that
// end, if it has one, is closed first.
func await(p *process.Program, step, file, otherEnd string) {
	if otherEnd != "" {
		p.Call(step, "", unix.SYS_CLOSE, p.File(otherEnd))
	}
	p.Call(step, "", unix.SYS_READ, p.File(file), process.Data(make([]byte, 8)), process.Int(1))
}

func ExampleRun() {
	// A look into another network namespace, without taking a thread of this process there.
	r, w, err := os.Pipe()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	p := &process.Program{Clone: unix.CLONE_NEWUTS}
	name, text := []byte("elsewhere"), make([]byte, 64)
	p.Call("set hostname", "elsewhere", unix.SYS_SETHOSTNAME, process.Data(name), process.Int(len(name)))
	file := p.CallFD("open", "hostname", unix.SYS_OPENAT, process.Int(unix.AT_FDCWD), process.Str("/proc/sys/kernel/hostname"), process.Int(unix.O_RDONLY))
	p.Call("copy", "hostname", unix.SYS_SENDFILE, p.File("pipe"), file, process.Int(0), process.Int(len(text)))
	err = process.Run(p, map[string]*os.File{"pipe": w})
	w.Close()
	if err != nil {
		fmt.Println(err)
		return
	}
	out, _ := io.ReadAll(r)
	fmt.Printf("%s", out)
	// Output: elsewhere
}

func TestRunFails(t *testing.T) {
	noLeaks(t)
	for want, build := range map[string]func(p *process.Program){
		"cannot fail: function not implemented": func(p *process.Program) { p.Call("fail", "", noSuchCall) },
		"cannot stumble: killed by SIGKILL": func(p *process.Program) {
			self := p.CallFD("ask", "", unix.SYS_GETPID)
			p.Call("stumble", "", unix.SYS_KILL, self, process.Int(int(unix.SIGKILL)))
		},
		"bad program: op 1 (execute): Run executes nothing": func(p *process.Program) {
			p.Call("ask", "", unix.SYS_GETPID)
			exec(p, "/bin/true")
		},
		"<nil>": func(p *process.Program) {
			p.Call("fail", "", noSuchCall).Accept = process.Accept(unix.ENOSYS)
		},
	} {
		p := &process.Program{}
		build(p)
		if err := process.Run(p, nil); fmt.Sprint(err) != want {
			t.Errorf("err = %v, want %v", err, want)
		}
	}
}

// Another thread writes the maps of a child's user namespace while the child waits for it, also where this process, and so
// the child in its memory, is not dumpable and the files belong to root.
func TestStartInUserNamespace(t *testing.T) {
	noLeaks(t)
	kerneltest.Require(t, feature.UserNamespaces)
	for _, dumpable := range []uintptr{1, 0, 1} {
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, dumpable, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		startInUserNamespace(t)
	}
}

func startInUserNamespace(t *testing.T) {
	wait, release := pipe(t)
	r, w := pipe(t)
	p := &process.Program{Clone: unix.CLONE_NEWUSER | unix.CLONE_NEWUTS}
	await(p, "wait for id maps", "wait", "release")
	p.Call("set group", "0", unix.SYS_SETRESGID, process.Int(0), process.Int(0), process.Int(0))
	p.Call("set user", "0", unix.SYS_SETRESUID, process.Int(0), process.Int(0), process.Int(0))
	name := []byte("mapped")
	p.Call("set hostname", "mapped", unix.SYS_SETHOSTNAME, process.Data(name), process.Int(len(name)))
	p.Call("connect stdout", "", unix.SYS_DUP3, p.File("out"), process.Int(1), process.Int(0))
	exec(p, "/bin/sh", "-c", "id -u; uname -n; cat /proc/self/uid_map")
	var told int
	child, err := process.StartWith(p, map[string]*os.File{"wait": wait, "release": release, "out": w}, func(pid int) error {
		told = pid
		defer release.Close()
		for _, file := range []string{"uid_map", "gid_map"} {
			if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, file), []byte("0 100000 65536\n"), 0); err != nil {
				return err
			}
		}
		return nil
	})
	_ = w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer end(child)
	text, err := io.ReadAll(r)
	if got := strings.Join(strings.Fields(string(text)), " "); got != "0 mapped 0 100000 65536" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if told != child.Pid {
		t.Errorf("pid %d during, %d after", told, child.Pid)
	}
}

// The error of what another thread does is the start's, and nothing is left of the child, whether it waits, has executed
// or has failed because of that.
func TestCompanyFails(t *testing.T) {
	noLeaks(t)
	sorry := errors.New("sorry")
	wait, release := pipe(t)
	files := map[string]*os.File{"wait": wait, "release": release}
	waiting, hasty, ending := &process.Program{}, &process.Program{}, &process.Program{}
	await(waiting, "wait", "wait", "release")
	exec(waiting, "/bin/sleep", "1000")
	exec(hasty, "/bin/sleep", "1000")
	ending.Call("ask", "", unix.SYS_GETPID)
	for _, p := range []*process.Program{waiting, hasty} {
		if child, err := process.StartWith(p, files, func(int) error { return sorry }); child != nil || err != sorry {
			t.Errorf("child = %v, err = %v", child, err)
		}
	}
	if err := process.RunWith(ending, files, func(int) error { return sorry }); err != sorry {
		t.Errorf("err = %v", err)
	}
	failing := &process.Program{}
	failing.Call("fail", "", noSuchCall)
	failed := func(pid int) error {
		for {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil || strings.Contains(string(stat), ") Z ") {
				return sorry
			}
		}
	}
	if err := process.RunWith(failing, nil, failed); !errors.Is(err, unix.ENOSYS) {
		t.Errorf("err = %v, want that of the op, which came first", err)
	}
}

// A child that is never made has no company; one that nobody wakes is given up.
func TestNobodyComes(t *testing.T) {
	noLeaks(t)
	called := false
	during := func(int) error { called = true; return nil }
	p := &process.Program{Cgroup: "no cgroup", Files: []string{"no cgroup"}}
	p.Call("ask", "", unix.SYS_GETPID)
	if err := process.RunWith(p, map[string]*os.File{"no cgroup": null(t)["null"]}, during); !errors.Is(err, unix.EBADF) || called {
		t.Errorf("err = %v, called: %v", err, called)
	}
	r, w := pipe(t)
	p = &process.Program{}
	await(p, "wait", "r", "")
	exec(p, "/bin/true")
	if _, err := process.StartWithin(p, map[string]*os.File{"r": r}, 20*time.Millisecond); !errors.Is(err, unix.ETIMEDOUT) {
		t.Errorf("err = %v", err)
	}
	w.Close()
}

// Descriptors that the program itself opened go to this process in a message, and into a struct pollfd.
func TestSlotInData(t *testing.T) {
	noLeaks(t)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	defer theirs.Close()
	p := &process.Program{}
	var slots []process.Slot
	for _, path := range []string{"/proc/self/comm", "/dev/zero"} {
		s := p.Slot()
		p.Call("open", path, unix.SYS_OPENAT, process.Int(unix.AT_FDCWD), process.Str(path), process.Int(unix.O_RDONLY)).Out = s
		slots = append(slots, s)
	}
	poll := make([]byte, 16) // two struct pollfd, the first without a file
	binary.NativeEndian.PutUint32(poll, ^uint32(0))
	binary.NativeEndian.PutUint16(poll[12:], unix.POLLIN)
	p.Call("poll", "/dev/zero", unix.SYS_PPOLL, process.Data(poll, process.Ref{At: 8, Slot: slots[1]}), process.Int(2), process.Int(0), process.Int(0)).Else = 1
	p.Call("fail", "", noSuchCall)
	p.Call("send", "files", unix.SYS_SENDMSG, p.File("socket"), process.Message([]byte("two files"), slots...), process.Int(0))
	if err := process.Run(p, map[string]*os.File{"socket": theirs}); err != nil {
		t.Fatalf("%v\n%s", err, p)
	}
	data, control := make([]byte, 100), make([]byte, 100)
	n, cn, _, _, err := unix.Recvmsg(pair[0], data, control, unix.MSG_CMSG_CLOEXEC)
	if string(data[:n]) != "two files" || err != nil {
		t.Fatalf("got %q, %v", data[:n], err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:cn])
	if err != nil || len(messages) != 1 {
		t.Fatalf("messages = %v, %v", messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 2 {
		t.Fatalf("descriptors = %v, %v", fds, err)
	}
	for i, want := range []string{"/comm", "/dev/zero"} {
		path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fds[i]))
		if !strings.HasSuffix(path, want) || err != nil {
			t.Errorf("descriptor %d is %q, %v, want %q", i, path, err, want)
		}
		_ = unix.Close(fds[i])
	}
}
