package seccomp_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
)

// prober makes the test binary, executed below a filter, print what happens to system calls.
const prober = "RECONCILER_TEST_SECCOMP"

func TestMain(m *testing.M) {
	switch os.Getenv(prober) {
	case "":
	case answerer:
		answer()
	case asker:
		askAbove()
		return
	default:
		probe()
		return
	}
	kerneltest.Main(m)
}

// probes are calls with their errno below the default filter without and with CAP_SYS_ADMIN in the bounding set; the
// process has no_new_privs and root's capabilities, so what is allowed works.
var probes = []struct {
	what                string
	nr                  uintptr
	args                [3]uintptr
	ordinary, withAdmin unix.Errno
}{
	{"getpid", unix.SYS_GETPID, [3]uintptr{}, 0, 0},
	{"unshare nothing", unix.SYS_UNSHARE, [3]uintptr{}, unix.EPERM, 0},
	{"clone3 of nothing", unix.SYS_CLONE3, [3]uintptr{}, unix.ENOSYS, unix.EINVAL},
	{"clone a namespace", unix.SYS_CLONE, [3]uintptr{unix.CLONE_NEWUSER | unix.CLONE_FS}, unix.EPERM, unix.EINVAL},
	{"mount nothing", unix.SYS_MOUNT, [3]uintptr{}, unix.EPERM, unix.EFAULT},
	{"umount nothing", unix.SYS_UMOUNT2, [3]uintptr{}, unix.EPERM, unix.EFAULT},
	{"keyctl", unix.SYS_KEYCTL, [3]uintptr{}, unix.EPERM, unix.EPERM},
	{"io_uring_setup", unix.SYS_IO_URING_SETUP, [3]uintptr{}, unix.EPERM, unix.EPERM},
	{"socket AF_INET", unix.SYS_SOCKET, [3]uintptr{unix.AF_INET, unix.SOCK_STREAM}, 0, 0},
	{"socket AF_VSOCK", unix.SYS_SOCKET, [3]uintptr{unix.AF_VSOCK, unix.SOCK_STREAM}, unix.EAFNOSUPPORT, unix.EAFNOSUPPORT},
	{"socket AF_VSOCK below a high word", unix.SYS_SOCKET, [3]uintptr{1<<32 | unix.AF_VSOCK, unix.SOCK_STREAM}, unix.EAFNOSUPPORT, unix.EAFNOSUPPORT},
	{"ask for the personality", unix.SYS_PERSONALITY, [3]uintptr{0xffffffff}, 0, 0},
	{"personality without randomised addresses", unix.SYS_PERSONALITY, [3]uintptr{0x40000}, unix.EPERM, unix.EPERM},
	{"a number of the future", 600, [3]uintptr{}, unix.ENOSYS, unix.ENOSYS},
	{"x32 getpid", 0x40000000 | unix.SYS_GETPID, [3]uintptr{}, unix.ENOSYS, unix.ENOSYS},
}

func probe() {
	for _, p := range probes {
		_, _, errno := unix.RawSyscall(p.nr, p.args[0], p.args[1], p.args[2])
		fmt.Printf("%s: %d\n", p.what, errno)
	}
}

// filtered runs a command below the default filter and returns its output and exit.
func filtered(t *testing.T, caps capability.Set, env []string, argv ...string) (string, process.Exit) {
	t.Helper()
	plan, err := new(seccomp.Cache).Default(caps)
	if err != nil {
		t.Fatal(err)
	}
	return planned(t, plan, env, argv...)
}

// listenerFd is where a command finds the listener of its own filter.
const listenerFd = 5

// planned runs a command below a filter and returns its output and exit.
func planned(t *testing.T, plan seccomp.Plan, env []string, argv ...string) (string, process.Exit) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := &process.Program{}
	p.Call("connect stdout", "", unix.SYS_DUP3, p.File("out"), process.Int(1), process.Int(0))
	p.Call("connect stderr", "", unix.SYS_DUP3, p.File("out"), process.Int(2), process.Int(0))
	p.Call("set no_new_privs", "", unix.SYS_PRCTL, process.Int(unix.PR_SET_NO_NEW_PRIVS), process.Int(1))
	if listener := seccomp.Append(p, plan); listener != 0 {
		p.Call("keep the listener", "", unix.SYS_DUP3, process.In(listener), process.Int(listenerFd), process.Int(0))
	}
	p.Call("execute", argv[0], unix.SYS_EXECVE, process.Str(argv[0]), process.Strs(argv), process.Strs(env))
	child, err := process.Start(p, map[string]*os.File{"out": w})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer child.Pidfd.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	exit, err := process.Reap(child.Pidfd)
	if err != nil {
		t.Fatal(err)
	}
	return string(out), exit
}

func TestTheKernelGivesTheVerdicts(t *testing.T) {
	kerneltest.Root(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, admin := range []bool{false, true} {
		caps, want := capability.Default, ""
		if admin {
			caps |= capability.Of(unix.CAP_SYS_ADMIN)
		}
		for _, p := range probes {
			errno := p.ordinary
			if admin {
				errno = p.withAdmin
			}
			want += fmt.Sprintf("%s: %d\n", p.what, errno)
		}
		got, exit := filtered(t, caps, []string{prober + "=1"}, self)
		if got != want || exit != (process.Exit{}) {
			t.Errorf("with CAP_SYS_ADMIN %v: %v\ngot:\n%swant:\n%s", admin, exit, got, want)
		}
	}
}

// i386exit is a program that does nothing but exit(0) through the entry of i386: an ELF header, a program header that
// maps all of it at 0x8048000, and mov $1,%eax; xor %ebx,%ebx; int $0x80.
func i386exit(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("\x7fELF\x01\x01\x01" + strings.Repeat("\x00", 9))
	code := []byte{0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80}
	const base, headers = 0x8048000, 52 + 32
	size := uint32(headers + len(code))
	for _, v := range []any{
		uint16(2), uint16(3), uint32(1), uint32(base + headers), uint32(52), uint32(0), uint32(0), uint16(52), uint16(32), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(1), uint32(0), uint32(base), uint32(base), size, size, uint32(5), uint32(0x1000),
	} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	b.Write(code)
	name := filepath.Join(t.TempDir(), "exit")
	if err := os.WriteFile(name, b.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestForeignCallsKill(t *testing.T) {
	kerneltest.Root(t)
	name := i386exit(t)
	if err := exec.Command(name).Run(); err != nil {
		t.Skipf("skip: needs a kernel that runs i386 programs: %s, %v", runtime.GOARCH, err)
	}
	if _, exit := filtered(t, capability.Default, nil, name); exit.Signal != unix.SIGSYS {
		t.Errorf("an i386 program below the filter: %v, want SIGSYS", exit)
	}
}

// What common programs do works: shells, pipes, threads, sockets, subprocesses.
func TestCommonProgramsRun(t *testing.T) {
	kerneltest.Root(t)
	dir := t.TempDir()
	for program, script := range map[string][]string{
		"busybox": {"sh", "-c", "cd " + dir + " && echo a | tee b | sort >c && ln -s b d && chown 1:1 b && tar cf e b c d && ps >/dev/null && nice true && cat /proc/self/status >/dev/null && echo fine"},
		"python3": {"-c", `
import asyncio, ctypes, multiprocessing, os, socket, subprocess, tempfile, threading
t = threading.Thread(target=lambda: None); t.start(); t.join()
s = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(s.getsockname()); c.close(); s.close()
assert subprocess.run(["true"]).returncode == 0
with multiprocessing.get_context("fork").Pool(2) as p: assert p.map(abs, [-1, -2]) == [1, 2]
asyncio.run(asyncio.sleep(0))
os.getrandom(4); os.sched_getaffinity(0); tempfile.TemporaryFile().write(b"x")
print("fine")`},
		"perl": {"-e", `use Socket; socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die; my $p = fork // die; exit 0 unless $p; waitpid $p, 0; print "fine\n"`},
	} {
		t.Run(program, func(t *testing.T) {
			path, err := exec.LookPath(program)
			if err != nil {
				t.Skipf("skip: needs %s", program)
			}
			out, exit := filtered(t, capability.Default, os.Environ(), append([]string{path}, script...)...)
			if out != "fine\n" || exit != (process.Exit{}) {
				t.Errorf("%v: %s", exit, out)
			}
		})
	}
}
