package keeper_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/log"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const busybox = "/bin/busybox"

// patience is how long a test waits for what must come; no test asserts a time.
const patience = 20 * time.Second

// The test binary is the keeper too, as the product's binary is.
func TestMain(m *testing.M) {
	keeper.Hook()
	os.Exit(m.Run())
}

// node is a run directory, a cgroup and a client for one test; all of it and its keeper are gone afterwards.
type node struct {
	t      testing.TB
	run    string
	cgroup string
	client *keeper.Client
}

var nodes atomic.Int32

func newNode(t testing.TB) *node {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces and cgroups")
	}
	n := &node{t: t, run: t.TempDir()}
	n.cgroup = filepath.Join(cgroup2(t), fmt.Sprintf("reconciler-test-keeper-%d-%d", os.Getpid(), nodes.Add(1)))
	if err := os.Mkdir(n.cgroup, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.clean)
	n.client = n.ensure()
	return n
}

// cgroup2 is where the unified hierarchy is mounted.
func cgroup2(t testing.TB) string {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[2] == "cgroup2" {
			return f[1]
		}
	}
	t.Skip("needs a cgroup2 mount")
	return ""
}

func (n *node) ensure() *keeper.Client {
	n.t.Helper()
	c, err := keeper.Ensure(n.t.Context(), keeper.Config{RunDir: n.run})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	return c
}

// clean kills what runs below the node's cgroup, then its keeper, then removes the cgroups.
func (n *node) clean() {
	os.WriteFile(filepath.Join(n.cgroup, "cgroup.kill"), []byte("1"), 0)
	if pid := n.keeperPid(); pid > 0 {
		unix.Kill(pid, unix.SIGKILL)
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		removeBelow(n.cgroup)
		if err := os.Remove(n.cgroup); err == nil {
			return
		}
	}
	n.t.Errorf("cgroup %s could not be removed", n.cgroup)
}

func removeBelow(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeBelow(filepath.Join(dir, e.Name()))
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// keeperPid is the pid in the lock file.
func (n *node) keeperPid() int {
	text, _ := os.ReadFile(filepath.Join(n.run, "state", "keeper.lock"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// killKeeper kills the keeper and waits until it is gone.
func (n *node) killKeeper() {
	n.t.Helper()
	pid := n.keeperPid()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		n.t.Fatal(err)
	}
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// request is the start of a shell script in an instance of its own pid namespace and cgroup.
func (n *node) request(name string, instance uint64, script string) keeper.StartRequest {
	n.t.Helper()
	id := strconv.FormatUint(instance, 10)
	r := keeper.StartRequest{
		Key:    keeper.Key{Name: name, Instance: instance},
		Dir:    filepath.Join(n.run, "state", name, id),
		Log:    keeper.Log{Dir: filepath.Join(n.run, "log", name), MaxSize: 64 << 20, MaxFiles: 5},
		Cgroup: filepath.Join(n.cgroup, name, id),
	}
	for _, dir := range []string{r.Dir, r.Cgroup} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			n.t.Fatal(err)
		}
	}
	r.Files = map[string]*os.File{}
	for file, path := range map[string]string{"cgroup": r.Cgroup, "null": os.DevNull} {
		f, err := os.Open(path)
		if err != nil {
			n.t.Fatal(err)
		}
		n.t.Cleanup(func() { f.Close() })
		r.Files[file] = f
	}
	r.Program.Clone = unix.CLONE_NEWPID
	r.Program.Cgroup = "cgroup"
	r.Program.File("cgroup")
	for fd, file := range []string{"null", keeper.FileStdout, keeper.FileStderr} {
		r.Program.Call("connect", file, unix.SYS_DUP3, r.Program.File(file), process.Int(fd), process.Int(0))
	}
	r.Program.Call("execute", busybox, unix.SYS_EXECVE, process.Str(busybox),
		process.Strs([]string{"sh", "-c", script}), process.Strs([]string{"PATH=/bin:/usr/bin"}))
	return r
}

// start starts a script in the first instance of a name.
func (n *node) start(name, script string) (keeper.StartRequest, keeper.Started) {
	n.t.Helper()
	r := n.request(name, 1, script)
	s, err := n.client.Start(n.t.Context(), r)
	if err != nil {
		n.t.Fatal(err)
	}
	return r, s
}

// exit waits for the record of the exit of a run.
func (n *node) exit(r keeper.StartRequest, s keeper.Started) spec.Exit {
	n.t.Helper()
	var e spec.Exit
	n.eventually("exit of "+r.Name, func() bool {
		e = spec.Exit{}
		text, err := os.ReadFile(filepath.Join(r.Dir, keeper.ExitFile))
		return err == nil && json.Unmarshal(text, &e) == nil && e.Pid == s.Pid && e.StartedAt.Equal(s.StartedAt)
	})
	return e
}

func (n *node) eventually(what string, done func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(n.run, "state", "keeper.log"))
			n.t.Fatalf("still no %s\nkeeper says: %s", what, text)
		}
	}
}

// lines reads a name's whole log.
func (n *node) lines(name string, o log.Options) (lines []string) {
	n.t.Helper()
	for line, err := range log.Read(context.Background(), filepath.Join(n.run, "log", name), o) {
		if err != nil {
			n.t.Fatal(err)
		}
		lines = append(lines, string(bytes.Clone(line.Text)))
	}
	return lines
}

func TestExitCodes(t *testing.T) {
	n := newNode(t)
	for script, want := range map[string]spec.Exit{
		"true":             {Code: 0, Reason: spec.ExitCompleted},
		"exit 7":           {Code: 7, Reason: spec.ExitError},
		"exec sleep 1000x": {Code: 1, Reason: spec.ExitError},
	} {
		r, s := n.start("c"+strconv.Itoa(len(script)), script)
		got := n.exit(r, s)
		if got.Code != want.Code || got.Reason != want.Reason || got.Signal != want.Signal {
			t.Errorf("%q: %+v, want %+v", script, got, want)
		}
	}
	bad := n.request("bad", 1, "true")
	bad.Name = "../bad"
	if _, err := n.client.Start(t.Context(), bad); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a name with a slash: %v", err)
	}
	if err := n.client.Stop(t.Context(), keeper.Key{Name: "nobody", Instance: 1}, "SIGTERM", time.Second); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stop of nobody: %v", err)
	}
}

func TestFailedStart(t *testing.T) {
	n := newNode(t)
	r := n.request("broken", 1, "true")
	r.Program.Ops[0].Args[0] = process.Int(9999) // no such descriptor
	_, err := n.client.Start(t.Context(), r)
	var step *process.Error
	if !errors.As(err, &step) || step.Errno != unix.EBADF || step.Step != "connect" {
		t.Fatalf("err = %v", err)
	}
	if ps, err := n.client.List(t.Context()); err != nil || len(ps) != 0 {
		t.Errorf("list = %v, %v", ps, err)
	}
	for _, file := range []string{keeper.StartFile, "starting.json", keeper.ExitFile} {
		if _, err := os.Stat(filepath.Join(r.Dir, file)); err == nil {
			t.Errorf("%s is left", file)
		}
	}
}

func TestOutput(t *testing.T) {
	n := newNode(t)
	r, s := n.start("talk", "echo one; echo two >&2; printf three")
	n.exit(r, s)
	if got := strings.Join(n.lines("talk", log.Options{}), ","); !strings.Contains(got, "one") || !strings.Contains(got, "two") || !strings.Contains(got, "three") {
		t.Errorf("got %q", got)
	}
	if got := strings.Join(n.lines("talk", log.Options{Stream: log.Stderr}), ","); got != "two" {
		t.Errorf("stderr = %q", got)
	}
}
