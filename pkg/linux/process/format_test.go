package process_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

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
	// execute /usr/local/bin/web: execve("/usr/local/bin/web", ["/usr/local/bin/web", "--port=8080"], {1 variables}); skip 0 on ENOENT|EACCES|ENOTDIR
	// execute /usr/bin/web: execve("/usr/bin/web", ["/usr/bin/web", "--port=8080"], {1 variables}); skip 0 on ENOENT|EACCES|ENOTDIR
}

func ExampleProgram_Park() {
	fmt.Print(patient())
	// Output:
	// clone3(CLONE_NEWUSER|CLONE_NEWTIME, pid namespace <pid namespace>)
	// open /dev/null: openat(AT_FDCWD, "/dev/null", O_CLOEXEC) = $1
	// --- park: from here on in memory of its own
	// wait for start: read(<start>, [], 1)
	// send file: sendmsg(<socket>, {97 bytes, $1 at 88})
	// execute /bin/true: execve("/bin/true", ["/bin/true"], {1 variables})
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
	// execute /bin/true: execve("/bin/true", ["/bin/true"], {1 variables})
}

// What the kernel said to each op of a start that failed.
func TestResults(t *testing.T) {
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
	results, err := process.Results(p, map[string]*os.File{"null": null})
	if !errors.Is(err, unix.ENOTDIR) {
		t.Fatalf("err = %v", err)
	}
	want := []int64{-int64(unix.ENOENT), results[1], 0, -int64(unix.ENOTDIR), process.NotRun}
	if !slices.Equal(results, want) || results[1] < 3 {
		t.Errorf("results = %v, want %v", results, want)
	}
}

// A start that is waiting tells how far it is.
func TestParkedIsPrinted(t *testing.T) {
	noLeaks(t)
	p := &process.Program{}
	p.Call("make directory", "/proc/none", unix.SYS_MKDIRAT, process.Int(unix.AT_FDCWD), process.Str("/proc/none"), process.Int(0)).Accept = process.Accept(unix.ENOENT)
	g := parkedWith(t, p, nil, nil, "/bin/true")
	text := g.String()
	for _, want := range []string{`mkdirat(AT_FDCWD, "/proc/none"); skip 0 on ENOENT: ENOENT` + "\n", "--- park: from here on in memory of its own\n", `, {1 variables}): not returned` + "\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	g.let(t)
	if err := g.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text = g.String(); !strings.Contains(text, "1): 1\n") {
		t.Errorf("no result of the read in\n%s", text)
	}
}
