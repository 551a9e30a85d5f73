package linux_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// remake is what a restorer does, but for the memory: it makes the first process of a container, as a child of its own parent, and tells its number on
// descriptor 3. Then it ends, or for "stay" does not.
func remake(args []string) int {
	cmd := exec.Command("/bin/busybox", "sh", "-c", "echo restored; trap 'exit 9' TERM; while :; do sleep 0.05; done")
	cmd.Stdout, cmd.Stderr = os.NewFile(4, "stdout"), os.NewFile(5, "stderr")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_PARENT}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.NewFile(3, "told"), err)
		return 1
	}
	fmt.Fprintln(os.NewFile(3, "told"), cmd.Process.Pid)
	pause := time.Second // in which somebody looks at what is mounted here
	if slices.Contains(args, "stay") {
		pause = time.Hour
	}
	time.Sleep(pause)
	return 0
}

// nothing is the content of an image without files.
type nothing struct{}

func (nothing) Layer(*os.File, mount.IDMap) error        { return nil }
func (nothing) Trees() []string                          { return nil }
func (nothing) Tree(string, *os.File, mount.IDMap) error { return fs.ErrInvalid }

// openRestore starts the restorer above and waits for the number of the process it makes.
func (n *node) openRestore(t *testing.T, name string, args ...string) (*linux.Restore, int) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	tool := start.Tool{Argv: append([]string{self, "remake"}, args...), Files: []string{"told", linux.FileStdout, linux.FileStderr}}
	restore, err := n.OpenRestore(t.Context(), name, 1, tool, map[string]*os.File{"told": w}, nothing{}, spec.Notified{})
	w.Close()
	must(t, err)
	t.Cleanup(func() { restore.Close() })
	line, err := bufio.NewReader(r).ReadString('\n')
	must(t, err)
	return restore, atoi(t, line)
}

func TestRestoreCommit(t *testing.T) {
	n := open(t)
	c := n.writable("web", "echo first", spec.Writable{})
	c.Spec.Mounts = []spec.Mount{{Type: "tmpfs", Destination: "/scratch"}}
	must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
	restore, pid := n.openRestore(t, "web")
	for _, want := range []string{"/", "/proc", "/sys", "/dev", "/dev/shm", "/scratch", "/sys/fs/cgroup", "/proc/keys", "/proc/bus"} {
		if !slices.ContainsFunc(restore.Mounts, func(m linux.StagedMount) bool { return m.Point == want }) {
			t.Errorf("the stage has no %s: %+v", want, restore.Mounts)
		}
	}
	must(t, restore.Claim(t.Context(), pid, nil))
	must(t, restore.Wait(t.Context()))
	in := n.look(t, "web", 1)
	if in.Phase != spec.InstanceRunning || in.Pid != pid || in.Starts != 1 {
		t.Errorf("restored: got %+v, want process %d running", in, pid)
	}
	n.hear(t, "web", "restored")
	n.killKeeper(t)
	n.reopen(t)
	if in := n.look(t, "web", 1); in.Pid != pid || in.Phase != spec.InstanceRunning {
		t.Errorf("after the keeper: got %+v", in)
	}
	must(t, n.Stop(t.Context(), "web", 1, "SIGTERM", patience))
	in = n.await(t, "web", 1, exited)
	if in.Exit.Code != 9 && in.Exit.Reason != spec.ExitUnknown {
		t.Errorf("exit: got %+v", in.Exit)
	}
	must(t, n.Start(t.Context(), "web", 1))
	n.hear(t, "web", "first")
}

// What nobody commits is gone: when the client gives it up, ends, names another process, and when the keeper dies.
func TestRestoreGivenUp(t *testing.T) {
	n := open(t)
	must(t, n.Create(t.Context(), n.container("web", forever), 1, spec.DefaultsVersion))
	for name, giveUp := range map[string]func(*linux.Restore, int){
		"closed": func(r *linux.Restore, _ int) { must(t, r.Close()) },
		"stranger": func(r *linux.Restore, _ int) {
			if err := r.Claim(t.Context(), os.Getpid(), nil); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("claim of a stranger: got %v", err)
			}
		},
		"keeper": func(*linux.Restore, int) {
			n.killKeeper(t)
			n.reopen(t)
		},
	} {
		args := []string{}
		if name != "stranger" {
			args = append(args, "stay")
		}
		restore, pid := n.openRestore(t, "web", args...)
		giveUp(restore, pid)
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			if in := n.look(t, "web", 1); in.Phase == spec.InstanceCreated {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("%s: got %+v", name, in)
			}
		}
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			if stat, err := process.ReadStat(pid); err != nil || stat.Dead() {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: process %d is left", name, pid)
			}
		}
	}
	must(t, n.Start(t.Context(), "web", 1))
	n.hear(t, "web", "up")
}
