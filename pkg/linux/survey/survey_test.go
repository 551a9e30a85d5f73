package survey_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
)

// container starts a shell in a mount namespace of its own, with files as its descriptors from 3 on, and tells which processes it has.
func container(t *testing.T, script string, files ...*os.File) survey.Processes {
	t.Helper()
	kerneltest.Root(t)
	cmd := exec.Command("/bin/sh", "-c", script+"; echo ready; read line")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Setsid: true}
	cmd.ExtraFiles = files
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	dir := t.TempDir() // as a cgroup shows its processes
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Appendln(nil, cmd.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	return survey.Processes{Init: cmd.Process.Pid, Cgroup: dir}
}

func identity(t *testing.T, f *os.File) survey.File {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return survey.File{Dev: st.Dev, Ino: st.Ino}
}

// Files that were opened outside are named as criu names them; the same file by way of a mount of the container's own is the container's.
func TestFilesFromOutside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	given, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer given.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	c := container(t, "exec 5<"+path+" 6</dev/null 2>/dev/null", given, null)
	file, device := identity(t, given), identity(t, null)
	c.Outside = map[survey.File]string{file: "stdout"}
	found, err := c.Look()
	if err != nil {
		t.Fatal(err)
	}
	open := found.Open
	want := map[string]string{fmt.Sprintf(":%x]", file.Ino): "stdout", fmt.Sprintf(":%x]", device.Ino): survey.Null}
	for name, is := range open {
		at := strings.LastIndexByte(name, ':')
		if !strings.HasPrefix(name, "file[") || want[name[at:]] != is {
			t.Errorf("%s is %q", name, is)
		}
		delete(want, name[at:])
	}
	if len(want) > 0 || len(open) != 2 {
		t.Errorf("open: %v, missing %v", open, want)
	}
}

// What no image can hold is said of the process and its descriptor.
func TestWhatCannotBeSaved(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
	if err != nil {
		t.Skip("skip: needs multipath TCP: ", err)
	}
	socket := os.NewFile(uintptr(fd), "mptcp")
	defer socket.Close()
	c := container(t, "true", socket)
	if _, err := c.Look(); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "descriptor 3: a multipath TCP socket") {
		t.Errorf("Look: %v", err)
	}
	c = container(t, "true")
	if err := os.WriteFile(filepath.Join(c.Cgroup, "cgroup.procs"), fmt.Appendln(nil, os.Getpid()), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Look(); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "no descendant") {
		t.Errorf("Look of a stranger: %v", err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(c.Cgroup, "cgroup.procs"), nil, 0o644), os.Mkdir(filepath.Join(c.Cgroup, "apart"), 0o755),
		os.WriteFile(filepath.Join(c.Cgroup, "apart", "cgroup.procs"), []byte("7\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	c.Apart = func(name string) bool { return name == "apart" }
	if _, err := c.Look(); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "a further process, 7") {
		t.Errorf("Look of one apart: %v", err)
	}
}

// Of mounts that lie over one another at a stage the last is seen, and nobody can tell them apart by name for an image.
func TestMounts(t *testing.T) {
	dir := t.TempDir()
	c := container(t, fmt.Sprintf("mount -t tmpfs one %[1]s; mkdir %[1]s/in; mount -t proc proc %[1]s/in; mount -t tmpfs -o ro two %[1]s/in", dir))
	staged, err := survey.At(dir, c.Init, survey.Shown)
	if err != nil || len(staged) != 2 || staged[0].Point != "/" || staged[0].Type != "tmpfs" || staged[1].Point != "/in" || staged[1].Made || !slices.Contains(staged[1].Flags, "ro") {
		t.Errorf("At: %+v, %v", staged, err)
	}
	if _, err := survey.Mounts(c.Init); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "lies over another one") {
		t.Errorf("Mounts: %v", err)
	}
	for point, ok := range map[string]bool{"/a b": true, "/a]b": false, "/a\nb": false} {
		if err := survey.CheckName(proc.Mount{Point: point}); (err == nil) != ok || !ok && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("CheckName of %q: %v", point, err)
		}
	}
}

// Who listens and who is connected is seen in the process's network.
func TestConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if listens, err := survey.Listens(os.Getpid(), nil); err != nil || !listens {
		t.Errorf("Listens: %v, %v", listens, err)
	}
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if connected, err := survey.Connected(os.Getpid(), nil); err != nil || !connected {
		t.Errorf("Connected: %v, %v", connected, err)
	}
	if connected, err := survey.Connected(os.Getpid(), map[string]bool{"1": true}); err != nil || connected {
		t.Errorf("Connected by a socket that is none: %v, %v", connected, err)
	}
}
