package ocicmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/cmd/reconciler/ocicmd"
	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
)

// The test binary is the runtime when it is called so.
const runtimeName = "oci-runtime"

func TestMain(m *testing.M) {
	criu.Hook()
	if filepath.Base(os.Args[0]) == runtimeName {
		os.Exit(ocicmd.Main(context.Background(), os.Args[1:], func() ocicmd.Build { return ocicmd.Build{Version: "test", Commit: "none", Go: runtime.Version()} }))
	}
	os.Exit(m.Run())
}

// patience bounds how long a test waits for anything.
var patience = kerneltest.Patient(30 * time.Second)

// world is a runtime with a root and a cgroup of its own.
type world struct {
	*testing.T
	dir, root, parent, binary string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	kerneltest.Root(t)
	dir, err := os.MkdirTemp("", "oci") // short: a socket's address holds 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, dir: dir, root: filepath.Join(dir, "root"), parent: kerneltest.Parent(t), binary: filepath.Join(dir, runtimeName)}
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, w.binary)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, id := range strings.Fields(w.try("list", "-q").out) {
			w.run("delete", "--force", id)
		}
		if left, err := os.ReadDir(w.root); err == nil && len(left) > 0 {
			t.Errorf("left in the root: %v", left)
		}
		for _, line := range kerneltest.Take(t, kerneltest.Scope{Parent: w.parent}) { // the parent itself goes later
			if strings.Contains(line, w.parent+"/") {
				t.Errorf("left: %s", line)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return w
}

// result is how a command line ended.
type result struct {
	out, err string
	code     int
}

// command is a command line of the runtime.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command(w.binary, append([]string{"--root", w.root}, args...)...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET=", "LISTEN_FDS=")
	return cmd
}

// finish runs a command. Its output are files: whoever it leaves behind may hold a pipe open.
func (w *world) finish(cmd *exec.Cmd) result {
	w.Helper()
	var files [2]*os.File
	for i := range files {
		f, err := os.CreateTemp(w.dir, "out")
		if err != nil {
			w.Fatal(err)
		}
		defer os.Remove(f.Name())
		defer f.Close()
		files[i] = f
	}
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	err := cmd.Run()
	if exit, isExit := errors.AsType[*exec.ExitError](err); err != nil && !isExit {
		w.Fatalf("%v: %v", cmd.Args, err)
	} else if isExit && exit.ExitCode() < 0 {
		w.Logf("%v: %v", cmd.Args, err)
	}
	out, _ := os.ReadFile(files[0].Name())
	text, _ := os.ReadFile(files[1].Name())
	return result{string(out), string(text), cmd.ProcessState.ExitCode()}
}

func (w *world) try(args ...string) result {
	w.Helper()
	return w.finish(w.command(args...))
}

// run is try of what must succeed.
func (w *world) run(args ...string) string {
	w.Helper()
	r := w.try(args...)
	if r.code != 0 {
		w.Fatalf("%v: code %d\n%s%s", args, r.code, r.out, r.err)
	}
	return r.out
}

// refused is try of what must fail, with a text.
func (w *world) refused(code int, text string, args ...string) {
	w.Helper()
	if r := w.try(args...); r.code != code || !strings.Contains(r.err, text) {
		w.Errorf("%v: code %d, want %d and %q\n%s", args, r.code, code, text, r.err)
	}
}

// bundle makes a bundle with busybox whose first process is a script, and gives its directory.
func (w *world) bundle(id, script string, edit ...func(*specs.Spec)) string {
	w.Helper()
	dir := filepath.Join(w.dir, "bundle-"+id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.Fatal(err)
	}
	root := filepath.Join(dir, "rootfs")
	if _, err := os.Stat(root); err != nil {
		if err := kerneltest.WriteRootfs(w, root); err != nil {
			w.Fatal(err)
		}
	}
	config := oci.Example()
	config.Process.Terminal = false
	config.Process.Args = []string{"/bin/sh", "-c", script}
	config.Linux.CgroupsPath = "/" + w.parent + "/" + id
	config.Process.Rlimits = nil
	for _, e := range edit {
		e(config)
	}
	w.write(filepath.Join(dir, "config.json"), config)
	return dir
}

func (w *world) write(path string, value any) {
	w.Helper()
	text, err := json.Marshal(value)
	if err == nil {
		err = os.WriteFile(path, text, 0o644)
	}
	if err != nil {
		w.Fatal(err)
	}
}

// state is what state shows of a container.
func (w *world) state(id string) oci.State {
	w.Helper()
	var s oci.State
	if err := json.Unmarshal([]byte(w.run("state", id)), &s); err != nil {
		w.Fatal(err)
	}
	return s
}

// soon waits until something is so.
func (w *world) soon(what string, is func() bool) {
	w.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("still not %s", what)
		}
	}
}

func (w *world) is(id string, status specs.ContainerState) {
	w.Helper()
	w.soon(string(status), func() bool { return w.state(id).Status == status })
}

func (w *world) read(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(text))
}
