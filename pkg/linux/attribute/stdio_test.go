package attribute_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/process/tinyinit"
)

// program is a start of a plan.
func program(plan attribute.Plan) *process.Program {
	p := &process.Program{}
	attribute.First(p, plan)
	attribute.Early(p, plan)
	attribute.Late(p, plan, nil)
	return p
}

// startWith starts a plan with files of the test's and waits for its end.
func startWith(t *testing.T, plan attribute.Plan, files map[string]*os.File) {
	t.Helper()
	proc, err := attribute.OpenProc()
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	files[attribute.FileProc] = proc
	child, err := process.Start(program(plan), files)
	if err != nil {
		t.Fatal(err)
	}
	defer child.Pidfd.Close()
	if exit, err := process.Reap(child.Pidfd); err != nil || exit != (process.Exit{}) {
		t.Errorf("%v, %v", exit, err)
	}
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// numbered is a file of a text at a descriptor number of the caller's choice.
func numbered(t *testing.T, number int, text string) *os.File {
	t.Helper()
	r, w := pipe(t)
	if _, err := io.WriteString(w, text+"\n"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Dup3(int(r.Fd()), number, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(number), text)
	t.Cleanup(func() { f.Close() })
	return f
}

// Whatever numbers the files have, each is where the container looks for it, though they lie in each other's places.
func TestExtraFiles(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.InSubprocess(t, func(t *testing.T) {
		out, w := pipe(t)
		files := map[string]*os.File{
			"stdout": w, "stderr": w,
			"first": numbered(t, 64, "one"), "second": numbered(t, 63, "two"), "third": numbered(t, 61, "three"), "fourth": numbered(t, 62, "four"),
		}
		plan := newPlan(t, `for n in 61 62 63 64; do read -r line <&$n; echo $line; done; ls -1 /proc/$$/fd; exit 0`)
		for range 61 - 3 {
			plan.ExtraFiles = append(plan.ExtraFiles, "stdout")
		}
		plan.ExtraFiles = append(plan.ExtraFiles, "first", "second", "third", "fourth")
		startWith(t, plan, files)
		w.Close()
		if text, err := io.ReadAll(out); err != nil || !strings.HasPrefix(string(text), "one\ntwo\nthree\nfour\n0\n1\n") || strings.Count(string(text), "\n") != 4+65 {
			t.Errorf("got %q, %v", text, err)
		}
	})
}

// An init is found, though its number is one that an extra file takes.
func TestExtraFilesAndInit(t *testing.T) {
	kerneltest.Root(t)
	out, w := pipe(t)
	init, err := tinyinit.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer init.Close()
	plan := newPlan(t, `read -r line <&3; echo $line; ls -1 /proc/$$/fd; exit 0`)
	plan.Init, plan.ExtraFiles = true, []string{"given"}
	for int(init.Fd()) > 3+len(plan.ExtraFiles) {
		plan.ExtraFiles = append(plan.ExtraFiles, "given")
	}
	r, given := pipe(t)
	if _, err := io.WriteString(given, "given\n"); err != nil {
		t.Fatal(err)
	}
	startWith(t, plan, map[string]*os.File{"stdout": w, "stderr": w, "init": init, "given": r})
	w.Close()
	text, err := io.ReadAll(out)
	if lines := strings.Count(string(text), "\n"); err != nil || !strings.HasPrefix(string(text), "given\n") || lines != 1+3+len(plan.ExtraFiles) {
		t.Errorf("got %q, %v, want %d descriptors", text, err, 3+len(plan.ExtraFiles))
	}
}

// An input that is given is the standard input.
func TestInput(t *testing.T) {
	kerneltest.Root(t)
	in, typed := pipe(t)
	out, w := pipe(t)
	if _, err := io.WriteString(typed, "typed\n"); err != nil {
		t.Fatal(err)
	}
	typed.Close()
	plan := newPlan(t, `cat; stat -L -c %u /proc/self/fd/0`)
	plan.Stdio, plan.UID, plan.Owner = attribute.StdioInput, 1000, 1000
	startWith(t, plan, map[string]*os.File{"stdin": in, "stdout": w, "stderr": w})
	w.Close()
	if text, err := io.ReadAll(out); err != nil || string(text) != "typed\n1000\n" {
		t.Errorf("got %q, %v", text, err)
	}
}

// A root without /dev/null gives an input that is empty and stays so.
func TestInputWithoutDevices(t *testing.T) {
	kerneltest.Root(t)
	root, err := os.Open(kerneltest.Rootfs(t))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	plan := newPlan(t, `cat; (echo more >&0) 2>/dev/null || echo refused; (echo more >>/proc/self/fd/0) 2>/dev/null || echo refused`)
	p := &process.Program{}
	p.Call("enter root", "", unix.SYS_FCHDIR, p.File("root"))
	p.Call("change root", "", unix.SYS_CHROOT, process.Str("."))
	attribute.Late(p, plan, nil)
	if got, err := runWith(t, p, map[string]*os.File{"root": root}); err != nil || got != "refused\nrefused\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A terminal is the session's, its three descriptors and the user's.
func TestTerminal(t *testing.T) {
	kerneltest.Root(t)
	master, terminal := openTerminal(t)
	plan := newPlan(t, `tty; stat -L -c '%u %t' /proc/self/fd/0 /proc/self/fd/2; echo there >/dev/tty; read -r line; echo got $line; ls -1 /proc/$$/fd; exit 0`)
	plan.Stdio, plan.UID, plan.GID, plan.Owner = attribute.StdioTerminal, 1000, 1000, 1000
	if _, err := io.WriteString(master, "hello\n"); err != nil {
		t.Fatal(err)
	}
	name := terminal.Name()
	startWith(t, plan, map[string]*os.File{"terminal": terminal})
	terminal.Close()
	text, _ := io.ReadAll(master) // EIO when the last one has closed it
	got := strings.ReplaceAll(string(text), "\r", "")
	if want := "hello\n" + name + "\n1000 88\n1000 88\nthere\ngot hello\n0\n1\n2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// openTerminal opens a pseudo terminal: its master and its own end.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, terminal
}

// A user is given the pipes it writes to, and no device: what an engine hands on may be the node's /dev/null.
func TestNoDeviceIsGiven(t *testing.T) {
	kerneltest.Root(t)
	path := t.TempDir() + "/null"
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	_, w := pipe(t)
	plan := newPlan(t, "exit 0")
	plan.UID, plan.Owner = 1000, 1000
	startWith(t, plan, map[string]*os.File{"stdout": null, "stderr": w})
	for f, want := range map[*os.File]uint32{null: 0, w: 1000} {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Uid != want {
			t.Errorf("%s belongs to %d, %v, want %d", f.Name(), st.Uid, err, want)
		}
	}
}
