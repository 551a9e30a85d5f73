package process_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

func ExampleProgram_String() {
	fmt.Print(rich())
	// Output:
	// clone3(CLONE_NEWNS|CLONE_NEWPID, cgroup <cgroup>)
	// mount proc: fsopen("proc", FSOPEN_CLOEXEC) = $1
	// mount proc: fsconfig($1, FSCONFIG_CMD_CREATE)
	// mount proc: fsmount($1, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID) = $2
	// mount proc /proc: move_mount($2, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH)
	// connect stdout: dup3(<stdout>, 1); skip 1 on success
	// mask /proc/kcore: mount("/dev/null", "/proc/kcore", NULL, MS_BIND); skip 1 on ENOENT|EACCES|ENOTDIR
	// execute /usr/local/bin/web: execve("/usr/local/bin/web", ["/usr/local/bin/web", "--port=8080"], ["LANG=C"]); skip 0 on ENOENT|EACCES|ENOTDIR
	// execute /usr/bin/web: execve("/usr/bin/web", ["/usr/bin/web", "--port=8080"], ["LANG=C"]); skip 0 on ENOENT|EACCES|ENOTDIR
}

func ExampleProgram_Park() {
	fmt.Print(patient())
	// Output:
	// clone3(CLONE_NEWUSER|CLONE_NEWTIME, pid namespace <pid namespace>)
	// open /dev/null: openat(AT_FDCWD, "/dev/null", O_CLOEXEC) = $1
	// --- park: from here on in memory of its own
	// wait for start: read(<start>, [], 1)
	// send file: sendmsg(<socket>, {97 bytes, $1 at 88})
	// execute /bin/true: execve("/bin/true", ["/bin/true"], ["LANG=C"])
}

func ExampleProgram_Reborn() {
	fmt.Print(inside())
	// Output:
	// clone3(0)
	// prepare: getpid()
	// --- park: from here on in memory of its own
	// choose pid namespace: setns(<ns>, CLONE_NEWPID)
	// --- be born inside: from here on a child in the pid namespace that was joined
	// make session: setsid()
	// execute /bin/true: execve("/bin/true", ["/bin/true"], ["LANG=C"])
}

func TestFormatTrace(t *testing.T) {
	text := rich().Format(&process.Trace{
		Results: []int64{5, 0, 6, 0, 1, -int64(unix.ENOENT), process.NotRun, process.NotRun},
		Times:   []time.Duration{1000, 2000, 3000, 4000, 5000, 6000, 0, 0},
		Clone:   7000, Exec: 8000,
	})
	for _, want := range []string{
		"cgroup <cgroup>) (7µs)\n", "= $1: 5 (1µs)\n", "; skip 1 on ENOENT|EACCES|ENOTDIR: ENOENT (6µs)\n", "|ENOTDIR: not returned\n", "returned (8µs)\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestTraced(t *testing.T) {
	p := &process.Program{}
	p.Call("make directory", "/proc/none", unix.SYS_MKDIRAT, process.Int(unix.AT_FDCWD), process.Str("/proc/none"), process.Int(0)).Accept = process.Accept(unix.ENOENT)
	dir := p.CallFD("open", "/", unix.SYS_OPENAT, process.Int(unix.AT_FDCWD), process.Str("/"), process.Int(unix.O_PATH|unix.O_CLOEXEC))
	p.Call("enter", "/", unix.SYS_FCHDIR, dir)
	p.Call("enter", "stdin", unix.SYS_FCHDIR, p.File("null"))
	exec(p, "/bin/true")
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	_, trace, err := process.Traced(p, map[string]*os.File{"null": null})
	if !errors.Is(err, unix.ENOTDIR) || trace == nil {
		t.Fatalf("err = %v, trace = %v", err, trace)
	}
	want := []int64{-int64(unix.ENOENT), trace.Results[1], 0, -int64(unix.ENOTDIR), process.NotRun}
	if fmt.Sprint(trace.Results) != fmt.Sprint(want) || trace.Results[1] < 3 {
		t.Errorf("results = %v, want %v", trace.Results, want)
	}
	if trace.Clone <= 0 || trace.Times[1] <= 0 || trace.Times[4] != 0 || trace.Exec <= 0 {
		t.Errorf("times = %+v", trace)
	}
	t.Log("\n" + p.Format(trace))
}
