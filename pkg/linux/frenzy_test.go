package linux_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// soon fails the test, with what all goroutines do, unless do returns.
func soon(t *testing.T, what string, do func(ctx context.Context) error) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- do(t.Context()) }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	case <-time.After(patience):
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		t.Fatalf("%s does not end", what)
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// logged is how many bytes the log of a name holds.
func (n *node) logged(name string) (size int64) {
	files, _ := filepath.Glob(filepath.Join(n.LogDir(name), "*.log"))
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			size += info.Size()
		}
	}
	return size
}

// Who attaches to a flooded terminal and does not read holds up neither the keeper nor anybody else: the container is killed as any other.
func TestTerminalFlood(t *testing.T) {
	n := open(t)
	c := n.container("web", `echo up; sleep 0.2; exec yes 0123456789012345678901234567890123456789012345678901234567890123456789`)
	c.Spec.TTY = true
	n.run(t, c, 1)
	n.hear(t, "web", "up")
	a, err := n.Attach(t.Context(), "web", 1)
	must(t, err)
	defer a.Close()
	eventually(t, "the log has the flood", func() bool { return n.logged("web") > 1<<20 })
	soon(t, "kill", func(ctx context.Context) error { return n.Kill(ctx, "web", 1, "SIGKILL") })
	eventually(t, "exit", func() bool { return exited(n.look(t, "web", 1)) })
	soon(t, "destroy", func(ctx context.Context) error { return n.Destroy(ctx, "web", 1, false) })
}

// Input that a container does not read is given up with the session: no thread waits for the container.
func TestAttachUnread(t *testing.T) {
	n := open(t)
	for _, tty := range []bool{false, true} {
		name := fmt.Sprintf("tty-%v", tty)
		c := n.container(name, `stty raw -echo 2>/dev/null; echo up; exec sleep 1000`)
		c.Spec.Stdin, c.Spec.TTY = true, tty
		n.run(t, c, 1)
		n.hear(t, name, "up")
		a, err := n.Attach(t.Context(), name, 1)
		must(t, err)
		ended := make(chan error, 1)
		go func() {
			for {
				if _, err := a.Stdin().Write(make([]byte, 1<<20)); err != nil {
					ended <- err
					return
				}
			}
		}()
		time.Sleep(100 * time.Millisecond)
		soon(t, "close", func(context.Context) error { return a.Close() })
		select {
		case err := <-ended:
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(patience):
			t.Errorf("%s: somebody still writes", name)
		}
	}
}

// hide goes where a signal to its process group does not find it, and stays.
func hide([]string) {
	child := exec.Command("sleep", "1000")
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := errors.Join(child.Start(), unix.Setpgid(0, child.Process.Pid)); err != nil {
		fmt.Println(err)
		return
	}
	signal.Ignore(unix.SIGTERM)
	fmt.Println("hidden")
	time.Sleep(time.Hour)
}

// A hook at its timeout is killed wherever it has gone.
func TestHookHides(t *testing.T) {
	n := open(t)
	exe, err := os.Executable()
	must(t, err)
	c := n.container("web", forever)
	c.Spec.Hooks.CreateRuntime = []spec.Hook{{
		Path: exe, Args: []string{exe, "attack", "hide"}, Env: map[string]string{"PATH": os.Getenv("PATH")}, Timeout: spec.Duration(time.Second),
	}}
	must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
	soon(t, "start", func(ctx context.Context) error {
		if err := n.Start(ctx, "web", 1); err == nil || !strings.Contains(err.Error(), `ran past specified timeout of 1s, output: "hidden"`) {
			return fmt.Errorf("not the timeout: %w", err)
		}
		return nil
	})
	soon(t, "destroy", func(ctx context.Context) error { return n.Destroy(ctx, "web", 1, false) })
}

// cousin leaves its parent another child, and ends.
func cousin([]string) {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, unix.CLONE_PARENT|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	for pid == 0 && errno == 0 {
		unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
	fmt.Println("a cousin", pid, errno)
}

// A hook in a container can leave its parent children that nobody knows of. They keep the container from nothing, and are gone with it.
func TestHookCousins(t *testing.T) {
	n := open(t)
	c := n.attacker(t, "web", "hold")
	c.Spec.Hooks.StartContainer = []spec.Hook{{Path: attackerPath, Args: []string{"attacker", "attack", "cousin"}}}
	own := len(childrenOf(t, os.Getpid()))
	n.run(t, c, 1)
	if now := len(childrenOf(t, os.Getpid())); now > own {
		t.Errorf("this process has %d children, not %d", now, own)
	}
	must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
	n.await(t, "web", 1, exited)
	must(t, n.Destroy(t.Context(), "web", 1, false))
	eventually(t, "the keeper has no children", func() bool { return len(childrenOf(t, n.keeper(t))) == 0 })
}

// What a hook writes is bounded, and with it what whoever it leaves running can make of this node's memory.
func TestHookFloods(t *testing.T) {
	n := open(t)
	for i, where := range []func(h *spec.Hooks, list []spec.Hook){
		func(h *spec.Hooks, list []spec.Hook) { h.CreateRuntime = list },
		func(h *spec.Hooks, list []spec.Hook) { h.CreateContainer = list },
		func(h *spec.Hooks, list []spec.Hook) { h.StartContainer = list },
	} {
		c := n.container(fmt.Sprintf("web-%d", i), forever)
		where(&c.Spec.Hooks, []spec.Hook{{
			Path: "/bin/sh", Args: []string{"sh", "-c", `echo begin; yes 0123456789abcdef 2>/dev/null; exit 3`},
			Env: map[string]string{"PATH": "/bin:/usr/bin"}, Timeout: spec.Duration(patience),
		}})
		must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
		soon(t, "start", func(ctx context.Context) error {
			err := n.Start(ctx, c.Metadata.Name, 1)
			if err == nil || !strings.Contains(err.Error(), "0123456789abcdef") || len(err.Error()) > 8<<10 || strings.Contains(err.Error(), "begin") {
				t.Errorf("%.300v", err)
			}
			return nil
		})
	}
}
