package tinyinit_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/process/tinyinit"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

// container is a pid namespace with tinyinit in it and the command below it.
type container struct {
	*process.Process
	output *bufio.Reader // stdout and stderr
}

func start(t *testing.T, env []string, command ...string) *container {
	t.Helper()
	return startRefused(t, nil, env, command...)
}

// startRefused is start below a filter that refuses some calls.
func startRefused(t *testing.T, calls []uint32, env []string, command ...string) *container {
	t.Helper()
	kerneltest.Root(t)
	init, err := tinyinit.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer init.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	p := &process.Program{Clone: unix.CLONE_NEWPID}
	p.Call("make session", "", unix.SYS_SETSID)
	p.Call("connect stdout", "", unix.SYS_DUP3, p.File("out"), process.Int(1), process.Int(0))
	p.Call("connect stderr", "", unix.SYS_DUP3, p.File("out"), process.Int(2), process.Int(0))
	if calls != nil {
		refuse(p, calls)
	}
	tinyinit.Execute(p, p.File("init"), command, env)
	child, err := process.Start(p, map[string]*os.File{"out": w, "init": init})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Signal(child.Pidfd, unix.SIGKILL)
		_, _ = process.Reap(child.Pidfd)
		_ = child.Pidfd.Close()
		_ = r.Close()
	})
	return &container{child, bufio.NewReader(r)}
}

// refuse has the kernel answer some calls with EPERM.
func refuse(p *process.Program, calls []uint32) {
	var code []byte
	instruction := func(op uint16, jt, jf byte, k uint32) { // struct sock_filter
		code = append(binary.NativeEndian.AppendUint16(code, op), jt, jf)
		code = binary.NativeEndian.AppendUint32(code, k)
	}
	instruction(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, 0) // seccomp_data.nr
	for _, nr := range calls {
		instruction(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, nr)
		instruction(unix.BPF_RET|unix.BPF_K, 0, 0, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM))
	}
	instruction(unix.BPF_RET|unix.BPF_K, 0, 0, unix.SECCOMP_RET_ALLOW)
	filter := make([]byte, 16) // struct sock_fprog
	binary.NativeEndian.PutUint16(filter, uint16(len(code)/8))
	p.Call("filter", "", unix.SYS_SECCOMP, process.Int(unix.SECCOMP_SET_MODE_FILTER), process.Int(0), process.Data(filter, process.Ref{At: 8, Data: code}))
}

// children are the pids of the processes below tinyinit, as this process sees them.
func (c *container) children() []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", c.Pid, c.Pid))
	return strings.Fields(string(text))
}

func (c *container) line(t *testing.T) string {
	t.Helper()
	line, err := c.output.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func TestExit(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "odd")
	denied := filepath.Join(dir, "denied")
	for path, mode := range map[string]os.FileMode{odd: 0o755, denied: 0o644} {
		if err := os.WriteFile(path, []byte("no program"), mode); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("x", 9000)
	for _, test := range []struct {
		path    string
		command []string
		code    int
		output  string
	}{
		{"/bin", []string{"/bin/sh", "-c", "exit 0"}, 0, ""},
		{"/bin", []string{"/bin/sh", "-c", "exit 255"}, 255, ""},
		{"/bin", []string{"/bin/sh", "-c", "kill -USR1 $$"}, 138, ""},
		{"/bin", []string{"/bin/sh", "-c", "kill -KILL $$"}, 137, ""},
		{"/none:/bin", []string{"sh", "-c", "echo $0 $*", "a", "b c"}, 0, "a b c\n"},
		{"", []string{"/bin/sh", "-c", "echo $PATH"}, 0, "\n"},
		{"/none", []string{"sh"}, 127, "init: cannot execute sh: not found\n"},
		{"/none", []string{"/none/sh"}, 127, "init: cannot execute /none/sh: not found\n"},
		{denied, []string{"sh"}, 127, "init: cannot execute sh: not found\n"}, // ENOTDIR
		{dir + ":/bin", []string{"denied"}, 126, "init: cannot execute denied: permission denied\n"},
		{dir, []string{denied}, 126, "init: cannot execute " + denied + ": permission denied\n"},
		{dir, []string{"odd"}, 126, "init: cannot execute odd: errno 8\n"}, // ENOEXEC
		{"/" + long + ":/bin", []string{"true"}, 0, ""},
		{"/bin", []string{long}, 127, "init: cannot execute " + long[:7915]},
		{"/bin", nil, 127, ""},
	} {
		c := start(t, []string{"A=1", "PATHS=/nowhere", "PATH=" + test.path}, test.command...)
		exit, err := process.Reap(c.Pidfd)
		if want := (process.Exit{Code: test.code}); exit != want || err != nil {
			t.Errorf("PATH=%.20s %.40q: %v, %v, want %v", test.path, test.command, exit, err, want)
		}
		output, err := io.ReadAll(c.output)
		if !strings.HasPrefix(string(output), test.output) || test.output == "" && len(output) > 0 || err != nil {
			t.Errorf("PATH=%.20s %.40q: %q, %v, want %q", test.path, test.command, output, err, test.output)
		}
	}
}

func TestDefaultPath(t *testing.T) {
	c := start(t, []string{"PATHS=/nowhere"}, "sh", "-c", "echo here")
	if got := c.line(t); got != "here" {
		t.Errorf("got %q", got)
	}
}

func TestCurrentDirectoryInPath(t *testing.T) {
	t.Chdir("/bin")
	for _, path := range []string{"", "/none:", ":/none", "/none::/none"} {
		c := start(t, []string{"PATH=" + path}, "sh", "-c", "echo here")
		if got := c.line(t); got != "here" {
			t.Errorf("PATH=%q: got %q", path, got)
		}
	}
}

func TestPassesSignalsOn(t *testing.T) {
	names := []string{"HUP", "INT", "QUIT", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "CONT", "WINCH", "PWR"}
	script := ""
	for _, name := range names {
		script += fmt.Sprintf("trap 'echo %s' %s; ", name, name)
	}
	c := start(t, nil, "/bin/sh", "-c", script+"grep Sig[BI] /proc/self/status; while :; do sleep 0.01; done")
	if mask := c.line(t); mask != "SigBlk:\t0000000000000000" {
		t.Errorf("the command begins with %s", mask)
	}
	// What the test itself was made to ignore (make does so with two signals), package attribute resets, and nothing does here.
	own, err := process.ReadSignals(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if ignored := c.line(t); ignored != fmt.Sprintf("SigIgn:\t%016x", uint64(own.Ignored)) {
		t.Errorf("the command begins with %s", ignored)
	}
	for _, name := range names {
		if err := process.Signal(c.Pidfd, unix.SignalNum("SIG"+name)); err != nil {
			t.Fatal(err)
		}
		if got := c.line(t); got != name {
			t.Errorf("sent %s, got %s", name, got)
		}
	}
	signals, err := process.ReadSignals(c.Pid)
	if err != nil || !signals.Heeds(unix.SIGTERM) {
		t.Errorf("signals = %+v, %v", signals, err)
	}
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", c.Pid)); string(name) != tinyinit.Name+"\n" || err != nil {
		t.Errorf("name = %q, %v", name, err)
	}
}

func TestEndsAsTheCommandWhenSignalled(t *testing.T) {
	c := start(t, nil, "/bin/sh", "-c", "echo ready; exec sleep 60")
	c.line(t)
	if err := process.Signal(c.Pidfd, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit, err := process.Reap(c.Pidfd); exit.Code != 128+15 || err != nil {
		t.Errorf("exit = %v, %v", exit, err)
	}
}

// A filter may refuse what init lives on: then it waits for nothing but the command's end, and where it may not even do that, it ends. It once asked
// again and again.
func TestFilterRefusesToWait(t *testing.T) {
	for _, test := range []struct {
		refused []uint32
		code    int
	}{
		{[]uint32{unix.SYS_RT_SIGTIMEDWAIT}, 7},
		{[]uint32{unix.SYS_RT_SIGTIMEDWAIT, unix.SYS_WAIT4}, 127},
		{[]uint32{unix.SYS_WAIT4}, 127},
	} {
		c := startRefused(t, test.refused, nil, "/bin/sh", "-c", "exit 7")
		if exit, err := process.Reap(c.Pidfd); exit.Code != test.code || err != nil {
			t.Errorf("without %d: %v, %v, want %d", test.refused, exit, err, test.code)
		}
	}
	c := startRefused(t, []uint32{unix.SYS_RT_SIGTIMEDWAIT, unix.SYS_WAIT4, unix.SYS_EXIT_GROUP}, nil, "/bin/sh", "-c", "sleep 60")
	if exit, err := process.Reap(c.Pidfd); exit.Signal != unix.SIGILL || err != nil {
		t.Errorf("without an end: %v, %v", exit, err)
	}
}

func TestReapsOrphans(t *testing.T) {
	const orphans = 20
	c := start(t, nil, "/bin/sh", "-c", "sh -c 'for i in $(seq "+strconv.Itoa(orphans)+"); do sleep 60 & done'; echo ready; exec sleep 60")
	c.line(t)
	pids := c.children()
	if len(pids) != 1+orphans {
		t.Fatalf("children = %q", pids)
	}
	for _, pid := range pids[1:] {
		n, err := strconv.Atoi(pid)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Kill(n, unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); !slices.Equal(c.children(), pids[:1]); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("children = %q, want only %s", c.children(), pids[0])
		}
	}
}
