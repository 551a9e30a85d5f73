package keeper

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Without a descriptor to spare nobody can know whether a process runs: it is neither declared ended nor started again
// nor signalled, and is adopted as soon as that can be.
func TestPursue(t *testing.T) {
	kerneltest.InSubprocess(t, func(t *testing.T) {
		k := &keeper{cfg: Config{RunDir: t.TempDir()}, instances: map[Key]*instance{}}
		k.sandboxes.byKey = map[string]keptSandbox{}
		k.logs.byDir = map[string]*sharedLog{}
		if err := k.prepare(nil); err != nil {
			t.Fatal(err)
		}
		defer k.close()
		child := exec.Command("/bin/sleep", "1000")
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		defer child.Wait()
		defer child.Process.Kill()
		in := k.findOrAdd(Key{"web", 1})
		if err := os.MkdirAll(in.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		began, err := process.StartTime(child.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		in.record = record{
			Key: in.key, Log: Log{Dir: filepath.Join(k.cfg.RunDir, "log")}, Cgroup: "/nowhere/web/1",
			Started: Started{Pid: child.Process.Pid, StartTime: began, Starts: 1},
		}

		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		none := unix.Rlimit{Cur: 0, Max: limit.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
			t.Fatal(err)
		}
		in.mu.Lock()
		in.left = started
		in.pursue()
		in.mu.Unlock()
		_, err = in.start(startHeader{}, &process.Program{}, nil)
		for _, err := range []error{err, in.requestStop("SIGTERM", 0), in.requestKill("SIGKILL"), in.release()} {
			if !errors.Is(err, unix.EMFILE) {
				t.Errorf("got %v", err)
			}
		}
		if p := in.view.Load().process(); !p.Running || p.Pid != child.Process.Pid {
			t.Errorf("shown as %+v", p)
		}

		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(in.dir, ExitFile)); err == nil {
			t.Error("it was declared ended")
		}
		for adopted := false; !adopted; time.Sleep(10 * time.Millisecond) { // by the timer
			in.mu.Lock()
			adopted = in.left == nothing && in.running() && in.log != nil
			in.mu.Unlock()
		}
	})
}
