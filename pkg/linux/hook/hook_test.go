package hook_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/hook"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

var patience = kerneltest.Patient(30 * time.Second)

// other is a process in a mount namespace of its own, by its pidfd.
func other(t *testing.T) *os.File {
	t.Helper()
	kerneltest.Root(t)
	pidfd := -1
	cmd := exec.Command("/bin/sleep", "100000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUTS, PidFD: &pidfd}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(pidfd), "other")
	t.Cleanup(func() { _, _, _ = cmd.Process.Kill(), cmd.Wait(), file.Close() })
	return file
}

// runners are the ways to run a program of the node.
func runners(t *testing.T) map[string]hook.Runner {
	return map[string]hook.Runner{"on the node": hook.OnNode(t.TempDir(), hook.Here), "inside": hook.Inside(other(t), hook.Here)}
}

// At its timeout a hook ends with what it has begun.
func TestTimeout(t *testing.T) {
	for name, run := range runners(t) {
		t.Run(name, func(t *testing.T) {
			pids := filepath.Join(t.TempDir(), "pids")
			script := fmt.Sprintf("sleep 100000 & echo $! >%[1]s.new; echo $$ >>%[1]s.new; mv %[1]s.new %[1]s; wait", pids)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			why := errors.New("enough")
			go func() {
				for ctx.Err() == nil {
					if _, err := os.Stat(pids); err == nil {
						cancel(why)
					}
					time.Sleep(time.Millisecond)
				}
			}()
			err := hook.Run(ctx, "test", []spec.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", script}}}, []byte("{}"), run)
			if !errors.Is(err, why) {
				t.Errorf("it says %v", err)
			}
			text, _ := os.ReadFile(pids)
			for _, word := range strings.Fields(string(text)) {
				pid, _ := strconv.Atoi(word)
				for end := time.Now().Add(patience); lives(pid); time.Sleep(time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("process %d of %q lives", pid, text)
					}
				}
			}
		})
	}
}

func lives(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// A hook whose program is not to be had is given up as well: whoever opens the file waits for the holder of a lease, see fcntl(2).
func TestTimeoutOnItsWay(t *testing.T) {
	run := hook.Inside(other(t), hook.Here)
	program, err := os.OpenFile(filepath.Join(t.TempDir(), "program"), os.O_CREATE|os.O_RDWR, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if err := lease(program); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := run(ctx, spec.Hook{Path: program.Name()}, null, null); !errors.Is(err, context.Canceled) {
		t.Errorf("it says %v", err)
	}
}

func lease(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	failed := conn.Control(func(fd uintptr) { _, err = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_WRLCK) })
	return errors.Join(failed, err)
}
