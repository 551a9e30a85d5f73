package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/client"
)

// TestServiceManager runs the agent as systemd does: with a socket made for it, a place to notify, and a watchdog.
func TestServiceManager(t *testing.T) {
	n := newNode(t)
	t.Cleanup(func() {
		for _, err := range n.dispose() {
			t.Error(err)
		}
	})
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: n.path("notify"), Net: "unixgram"})
	must(t, err)
	defer manager.Close()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: n.path("activated"), Net: "unix"})
	must(t, err)
	defer listener.Close()
	socket, err := listener.File()
	must(t, err)
	defer socket.Close()

	// The descriptor is numbered 3 and addressed by the pid, which exec keeps.
	agent := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh", binary}, n.runArgs()...)...)
	agent.ExtraFiles = []*os.File{socket}
	agent.Env = append(os.Environ(), "LISTEN_FDS=1", "NOTIFY_SOCKET="+n.path("notify"), "WATCHDOG_USEC=300000")
	agent.Stdout, agent.Stderr = &n.log, &n.log
	must(t, agent.Start())

	// A reload that is asked for while it begins comes when it is ready.
	must(t, n.eventually("it begins", func() error {
		_, err := os.Stat(n.path("state/agent.lock"))
		return err
	}))
	must(t, agent.Process.Signal(syscall.SIGHUP))
	for _, state := range []string{"READY=1", "RELOADING=1", "READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		must(t, expectState(manager, state))
	}
	if _, err := client.New(n.path("activated")).Version(context.Background()); err != nil {
		t.Errorf("the socket made for the agent: %v", err)
	}
	must(t, agent.Process.Signal(syscall.SIGHUP))
	must(t, expectState(manager, "RELOADING=1"))
	must(t, expectState(manager, "READY=1"))
	must(t, expectState(manager, "WATCHDOG=1"))
	must(t, agent.Process.Signal(syscall.SIGTERM))
	must(t, expectState(manager, "STOPPING=1"))
	if err := agent.Wait(); err != nil {
		t.Errorf("the agent ended with %v\n%s", err, n.log.String())
	}
	if _, err := os.Stat(n.path("activated")); err != nil {
		t.Errorf("the agent took the service manager's socket away: %v", err)
	}
}

// expectState reads notifications until one begins with the state, passing over watchdogs.
func expectState(manager *net.UnixConn, want string) error {
	fail := func(err error) error { return fmt.Errorf("waiting for %s: %w", want, err) }
	if err := manager.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return fail(err)
	}
	for buffer := make([]byte, 4096); ; {
		size, err := manager.Read(buffer)
		if err != nil {
			return fail(err)
		}
		got, _, _ := strings.Cut(string(buffer[:size]), "\n")
		switch got, _, _ = strings.Cut(got, "_USEC="); got {
		case want:
			return nil
		case "WATCHDOG=1", "EXTEND_TIMEOUT":
		default:
			return fmt.Errorf("got %q, want %s", got, want)
		}
	}
}
