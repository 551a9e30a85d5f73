package ocicmd_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// A further process that is given up on its way to its command does not execute it later. Whoever opens the command waits for the holder of a
// lease, see fcntl(2).
func TestExecGivenUp(t *testing.T) {
	kerneltest.InSubprocess(t, func(t *testing.T) {
		w := newWorld(t)
		bundle := w.bundle("e", "sleep 1000")
		w.run("run", "--detach", "--bundle", bundle, "e")
		command, err := os.OpenFile(filepath.Join(bundle, "rootfs", "slow"), os.O_CREATE|os.O_RDWR, 0o755)
		if err != nil {
			t.Fatal(err)
		}
		defer command.Close()
		if _, err := unix.FcntlInt(command.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		r := &oci.Runtime{Root: w.root, Log: logr.Discard()}
		_, _, err = r.Exec(ctx, "e", func(p *specs.Process) error { p.Args = []string{"/slow"}; return nil }, oci.ExecOptions{Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it says %v", err)
		}
		if pids, err := r.Processes("e"); err != nil || len(pids) != 1 {
			t.Errorf("processes %v, %v", pids, err)
		}
		if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != unix.ECHILD {
			t.Errorf("there is a child: %v", err)
		}
	})
}

// Files that are handed on stay the caller's, whether they are or not.
func TestExtraFilesStay(t *testing.T) {
	kerneltest.InSubprocess(t, func(t *testing.T) {
		w := newWorld(t)
		r := &oci.Runtime{Root: w.root, Log: logr.Discard()}
		file, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		extra, stdio := []*os.File{file}, [3]*os.File{os.Stdin, os.Stdout, os.Stderr}
		try := func(id, script, want string, edit ...func(*specs.Spec)) {
			t.Helper()
			running, err := r.Run(t.Context(), id, w.bundle(id, script, edit...), true, oci.Options{Stdio: stdio, ExtraFiles: extra})
			if err == nil {
				child, _, failed := r.Exec(t.Context(), id, func(p *specs.Process) error { p.Args = []string{"true"}; return nil }, oci.ExecOptions{Stdio: stdio, ExtraFiles: extra})
				if failed != nil {
					t.Fatal(failed)
				}
				_, _ = process.Reap(child.Pidfd)
				_ = child.Pidfd.Close()
				err = running.Delete(t.Context())
				_, _ = running.Wait()
			}
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %v", id, err)
			}
			if _, err := file.Stat(); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
		try("good", "sleep 1000", "")
		try("bad", "", "executable file not found", func(s *specs.Spec) { s.Process.Args = []string{"nothing"} })
	})
}
