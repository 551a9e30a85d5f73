package runtimetools

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds one program. Some of them wait ten seconds for what cannot come.
const patience = 3 * time.Minute

// suite is the programs, and the runtimes they are run against.
type suite struct {
	dir, programs string
	runtimes      [2]runtime // runc, this one
	cgroups       sync.Mutex // held by those programs whose containers all have the same cgroup
}

// runtime is a command line with a state directory of its own, and what has to be said to use that.
type runtime struct{ name, path, wrapper, root string }

// newSuite builds the programs and this runtime.
func newSuite(t *testing.T) *suite {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("skip: needs root: run it with sudo")
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("skip: needs runc: apt-get install runc")
	}
	s := &suite{dir: openDir(t)}
	s.programs = filepath.Join(s.dir, "programs")
	ours := filepath.Join(s.dir, "oci-runtime") // a name that is not reconciler's is the OCI command line
	s.build(t, ".", s.programs+"/", "tool")
	s.build(t, "../..", ours, "./cmd/reconciler")
	s.rootfs(t)
	for i, path := range []string{runc, ours} {
		r := runtime{name: filepath.Base(path), path: path, wrapper: filepath.Join(s.dir, fmt.Sprint("runtime", i)), root: filepath.Join(s.dir, fmt.Sprint("state", i))}
		script := fmt.Sprintf("#!/bin/sh\nexec %s --root %s \"$@\"\n", r.path, r.root)
		if err := os.WriteFile(r.wrapper, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		s.runtimes[i] = r
	}
	return s
}

// openDir is a directory that root of a user namespace can pass through, as t.TempDir's is not.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "runtimetools")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// build builds commands of the module in a directory, as static as they have to be in a root of their own.
func (s *suite) build(t *testing.T, module, output, packages string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", output, packages)
	cmd.Dir, cmd.Env = module, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// rootfs puts the programs' archive where they look for it.
func (s *suite) rootfs(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-tools").Output()
	if err != nil {
		t.Fatal(err)
	}
	name := "rootfs-" + goarch(t) + ".tar.gz"
	archive, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), name))
	if err != nil {
		t.Skipf("skip: needs %s: the suite has it for amd64 and 386 only", name)
	}
	if err := os.WriteFile(filepath.Join(s.programs, name), archive, 0o644); err != nil {
		t.Fatal(err)
	}
}

func goarch(t *testing.T) string {
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOARCH").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// names are the programs.
func (s *suite) names(t *testing.T) (names []string) {
	entries, err := os.ReadDir(s.programs)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); n != "runtimetest" && !strings.HasSuffix(n, ".gz") {
			names = append(names, n)
		}
	}
	return names
}

// outcome is how a program went.
type outcome struct {
	verdicts
	code     int
	messages string
}

// count counts the lines that passed, or did not.
func (o outcome) count(passed bool) (n int) {
	for _, ok := range o.verdicts {
		if ok == passed {
			n++
		}
	}
	return n
}

// run runs a program against a runtime, in a mount namespace of its own: not every runtime leaves the node's mounts as they were.
func (s *suite) run(t *testing.T, program string, r runtime) outcome {
	t.Helper()
	if strings.HasPrefix(program, "linux_cgroups") || program == "delete_resources" || program == "delete_only_create_resources" {
		s.cgroups.Lock()
		defer s.cgroups.Unlock()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tmp, err := os.MkdirTemp(s.dir, "tmp")
	if err == nil {
		err = os.Chmod(tmp, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.programs, program))
	cmd.Dir = s.programs
	cmd.Env = append(os.Environ(), "RUNTIME="+r.wrapper, "TMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); ctx.Err() != nil {
		t.Errorf("%s with %s does not end: %v\n%s", program, r.name, err, messages.String())
	}
	return outcome{readTAP(out.String()), cmd.ProcessState.ExitCode(), messages.String()}
}

// clean removes what the programs have left of a runtime's containers, and gives their ids.
func (r runtime) clean(t *testing.T) (left []string) {
	t.Helper()
	out, err := exec.Command(r.wrapper, "list", "-q").Output()
	if err != nil {
		t.Error(err)
	}
	left = strings.Fields(string(out))
	for _, id := range left {
		if out, err := exec.Command(r.wrapper, "delete", "--force", id).CombinedOutput(); err != nil {
			t.Errorf("cannot delete %s: %v\n%s", id, err, out)
		}
	}
	entries, err := os.ReadDir(r.root)
	if err == nil && len(entries) > 0 {
		t.Errorf("%s leaves in its state directory: %v", r.name, entries)
	}
	return left
}

// cleanCgroups removes the groups that the programs name and no runtime removes: those above a container's own.
func cleanCgroups(t *testing.T) {
	t.Helper()
	for _, name := range []string{"testdir", "cgrouptest"} {
		tops, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
		plain, _ := filepath.Glob("/sys/fs/cgroup/" + name)
		for _, top := range append(tops, plain...) {
			var dirs []string
			_ = filepath.WalkDir(top, func(path string, e os.DirEntry, err error) error {
				if err == nil && e.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			slices.Reverse(dirs)
			for _, dir := range dirs {
				if err := syscall.Rmdir(dir); err != nil {
					t.Errorf("left: %s: %v", dir, err)
				}
			}
		}
	}
}
