package linux_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// inside runs a command in a running container to its end and returns what it says.
func (n *node) inside(t testing.TB, name string, e spec.Exec, input string) (string, spec.Exit) {
	t.Helper()
	s, err := n.Exec(t.Context(), name, 1, e)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { must(t, s.Close()) }()
	if e.Stdin {
		_, err := io.WriteString(s.Stdin(), input)
		must(t, err)
		must(t, s.Stdin().Close())
	}
	out, err := io.ReadAll(s.Stdout())
	must(t, err)
	var complaint []byte
	if s.Stderr() != nil {
		complaint, err = io.ReadAll(s.Stderr())
		must(t, err)
	}
	exit, err := s.Wait(t.Context())
	must(t, err)
	return string(out) + string(complaint), exit
}

// inBothWays tests execs into a container where they need not be confined, and into one where they are.
func inBothWays(t *testing.T, test func(t *testing.T, way spec.Capabilities)) {
	t.Run("plain", func(t *testing.T) { test(t, spec.Capabilities{}) })
	t.Run("confined", func(t *testing.T) { test(t, spec.Capabilities{Add: []string{"SYS_PTRACE"}}) })
}

// with is container with other capabilities.
func (n *node) with(capabilities spec.Capabilities, name, script string) spec.Container {
	c := n.container(name, script)
	c.Spec.Security.Capabilities = capabilities
	return c
}

func command(script string) spec.Exec { return spec.Exec{Command: []string{"/bin/sh", "-c", script}} }

// A further process is inside: in every namespace and the cgroup of the container, with its user, capabilities, filter and environment.
func TestExecIsInside(t *testing.T) { inBothWays(t, testExecIsInside) }

func testExecIsInside(t *testing.T, way spec.Capabilities) {
	n := open(t)
	c := n.container("web", forever)
	c.Spec.Security.Capabilities = way
	c.Spec.Env = map[string]string{"LOG": "info"}
	c.Spec.User = "web"
	c.Spec.Umask = "0027"
	c.Spec.WorkingDir = "/tmp"
	c.Spec.Rlimits = map[string]spec.Rlimit{"nofile": {Soft: 77, Hard: 88}}
	n.run(t, c, 1)
	n.hear(t, "web", "up")
	script := `for ns in mnt pid net ipc uts cgroup user time; do [ "$(readlink /proc/self/ns/$ns)" = "$(readlink /proc/1/ns/$ns)" ] || echo other $ns; done
		for line in Uid Gid Groups CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp; do
			[ "$(grep $line: /proc/self/status)" = "$(grep $line: /proc/1/status)" ] || echo other $line
		done
		[ "$(cut -d' ' -f5,6 /proc/$$/stat)" = "$$ $$" ] || echo other session
		id; pwd; umask; ulimit -n; echo $LOG $HOME; ls /proc/self/fd | tr '\n' ' '; cat /proc/self/oom_score_adj`
	got, exit := n.inside(t, "web", command(script), "")
	want := "uid=1000(web) gid=1000(web) groups=29(audio),44(video)\n/tmp\n0027\n77\ninfo /home/web\n0 1 2 3 0\n"
	if got != want || exit.Code != 0 {
		t.Errorf("exit %+v:\n%s\nwant\n%s", exit, got, want)
	}
}

// What an exec says of user, environment, directory and capabilities is its own.
func TestExecSays(t *testing.T) { inBothWays(t, testExecSays) }

func testExecSays(t *testing.T, way spec.Capabilities) {
	n := open(t)
	c := n.container("web", forever)
	c.Spec.Security.Capabilities = way
	c.Spec.Env = map[string]string{"A": "1", "B": "2"}
	n.run(t, c, 1)
	for _, test := range []struct {
		name string
		e    spec.Exec
		want string
	}{
		{"user", spec.Exec{Command: []string{"id"}, User: "daemon"}, "uid=1(daemon) gid=1(daemon) groups=29(audio)\n"},
		{"a number is a number", spec.Exec{Command: []string{"id"}, User: "1:1"}, "uid=1(daemon) gid=1(daemon) groups=29(audio)\n"},
		{"environment", spec.Exec{Command: []string{"sh", "-c", "echo $A$B$C"}, Env: map[string]string{"B": "x", "C": "y"}}, "1xy\n"},
		{"directory", spec.Exec{Command: []string{"pwd"}, WorkingDir: "/home/web"}, "/home/web\n"},
		{"more capabilities", spec.Exec{Command: []string{"sh", "-c", "printf %x $((0x$(grep CapEff /proc/self/status | cut -f2) & ~(1 << 19)))"}, Capabilities: spec.Capabilities{Add: []string{"NET_ADMIN"}}}, "415fb"},
		{"fewer capabilities", spec.Exec{Command: []string{"sh", "-c", "grep -E 'Cap(Eff|Inh|Bnd)' /proc/self/status"}, Capabilities: spec.Capabilities{Drop: []string{"ALL"}}}, "CapInh:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, _ := n.inside(t, "web", test.e, ""); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// Input, output, error output and exit codes are passed on, byte for byte.
func TestExecStdio(t *testing.T) { inBothWays(t, testExecStdio) }

func testExecStdio(t *testing.T, way spec.Capabilities) {
	n := open(t)
	n.run(t, n.with(way, "web", forever), 1)
	data := bytes.Repeat([]byte("\x00\xff\r\n reconciler"), 1<<18)
	s, err := n.Exec(t.Context(), "web", 1, spec.Exec{Command: []string{"cat"}, Stdin: true})
	must(t, err)
	go func() {
		s.Stdin().Write(data)
		s.Stdin().Close()
	}()
	got, err := io.ReadAll(s.Stdout())
	if must(t, err); !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back changed, of %d", len(got), len(data))
	}
	if exit, err := s.Wait(t.Context()); err != nil || exit.Code != 0 {
		t.Errorf("%+v, %v", exit, err)
	}
	must(t, s.Close())
	for script, want := range map[string]spec.Exit{
		"exit 7":         {Code: 7, Reason: spec.ExitError},
		"kill -KILL $$":  {Code: 137, Signal: "SIGKILL", Reason: spec.ExitError},
		"echo x >&2":     {Code: 0, Reason: spec.ExitCompleted},
		"cat; echo done": {Code: 0, Reason: spec.ExitCompleted}, // no input is an empty one
	} {
		if _, exit := n.inside(t, "web", command(script), ""); exit != want {
			t.Errorf("%s: %+v, want %+v", script, exit, want)
		}
	}
	for path, want := range map[string]error{"/nowhere": os.ErrNotExist, "nowhere": os.ErrNotExist, "/etc/passwd": unix.EACCES} {
		_, err := n.Exec(t.Context(), "web", 1, spec.Exec{Command: []string{path}})
		failure, ok := errors.AsType[*process.Error](err)
		if !errors.Is(err, want) || !ok || !failure.Exec {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A terminal is one of the container's own devpts, is the controlling terminal, has a size that changes, and hangs up.
func TestExecTerminal(t *testing.T) { inBothWays(t, testExecTerminal) }

func testExecTerminal(t *testing.T, way spec.Capabilities) {
	n := open(t)
	n.run(t, n.with(way, "web", forever), 1)
	e := command(`tty; stty size; trap 'stty size' WINCH; echo ready; until read line; do :; done; echo "got $line"; sleep 0.2`)
	e.TTY, e.Stdin, e.Size = true, true, spec.TerminalSize{Rows: 33, Columns: 99}
	s, err := n.Exec(t.Context(), "web", 1, e)
	must(t, err)
	var out strings.Builder
	wait := func(text string) {
		t.Helper()
		buf := make([]byte, 4096)
		for !strings.Contains(out.String(), text) {
			k, err := s.Stdout().Read(buf)
			if err != nil {
				t.Fatalf("%v after %q", err, out.String())
			}
			out.Write(buf[:k])
		}
	}
	wait("ready")
	must(t, s.Resize(spec.TerminalSize{Rows: 44, Columns: 111}))
	_, err = io.WriteString(s.Stdin(), "hello\n")
	must(t, err)
	wait("got hello")
	rest, err := io.ReadAll(s.Stdout())
	must(t, err)
	exit, err := s.Wait(t.Context())
	must(t, err)
	must(t, s.Close())
	if all := out.String() + string(rest); !strings.Contains(all, "/dev/pts/0\r\n33 99\r\n") || !strings.Contains(all, "44 111") || exit.Code != 0 {
		t.Errorf("%+v: %q", exit, all)
	}
}

// Close, and the death of the agent, end the process and its children; a detached one lives on and leaves nothing when it ends.
func TestExecEnds(t *testing.T) { inBothWays(t, testExecEnds) }

func testExecEnds(t *testing.T, way spec.Capabilities) {
	n := open(t)
	n.run(t, n.with(way, "web", forever), 1)
	groups := func() int {
		dirs, err := filepath.Glob(filepath.Join(n.group(t, "web", 1), "*-*"))
		must(t, err)
		count := 0
		for _, dir := range dirs {
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				count++
			}
		}
		return count
	}
	until := func(what string, want int) {
		t.Helper()
		for deadline := time.Now().Add(patience); groups() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d further processes", what, groups())
			}
		}
	}
	stubborn := command(`trap '' TERM HUP INT; (trap '' TERM HUP; sleep 1000) & setsid sleep 1000 & echo up; sleep 1000`)
	s, err := n.Exec(t.Context(), "web", 1, stubborn)
	must(t, err)
	_, err = s.Stdout().Read(make([]byte, 3))
	must(t, err)
	until("running", 1)
	must(t, s.Close())
	must(t, s.Close())
	until("closed", 0)

	left, err := n.Exec(t.Context(), "web", 1, stubborn)
	must(t, err)
	defer left.Close() // and not before, as the collector would
	until("running", 1)
	n.reopen(t) // the agent goes, and with it its connections
	// Closing the node leaves sessions open in this process; a real agent's death does not.
	detached := command("sleep 1")
	detached.Detach = true
	s, err = n.Exec(t.Context(), "web", 1, detached)
	must(t, err)
	must(t, s.Close())
	until("one left and a detached one", 2)
	until("the detached one has ended", 1)
	must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
	n.await(t, "web", 1, exited)
	until("the container has ended", 0)
}

// A paused container, and one without a process, are refused with a word for it.
func TestExecRefused(t *testing.T) { inBothWays(t, testExecRefused) }

func testExecRefused(t *testing.T, way spec.Capabilities) {
	n := open(t)
	must(t, n.Create(t.Context(), n.with(way, "web", forever), 1, spec.DefaultsVersion))
	refused := func(phase string) {
		t.Helper()
		if _, err := n.Exec(t.Context(), "web", 1, command("true")); !errors.Is(err, spec.ErrNotRunning) || !strings.Contains(err.Error(), phase) {
			t.Errorf("%s: %v", phase, err)
		}
	}
	refused("Created")
	must(t, n.Start(t.Context(), "web", 1))
	must(t, n.Pause(t.Context(), "web", 1))
	refused("Paused")
	must(t, n.Resume(t.Context(), "web", 1))
	if _, exit := n.inside(t, "web", command("true"), ""); exit.Code != 0 {
		t.Errorf("resumed: %+v", exit)
	}
	must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
	n.await(t, "web", 1, exited)
	refused("Exited")
}

// CVE-2016-9962, CVE-2024-21626: process 1 can neither trace nor look into a process on its way in, and no directory of the node is to be had.
func TestExecAttacked(t *testing.T) {
	n := open(t)
	c := n.container("web", `echo up; while :; do
		for p in /proc/[0-9]*; do
			[ $p = /proc/1 ] || [ $p = /proc/$$ ] || for fd in $p/fd/*; do case "$(readlink $fd 2>/dev/null)" in /sys/fs/cgroup*|/tmp/rnode*|/etc/*) echo "LEAK $fd $(readlink $fd)";; esac; done
		done
	done`)
	n.run(t, c, 1)
	n.hear(t, "web", "up")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		n.inside(t, "web", spec.Exec{Command: []string{"true"}}, "")
	}
	if said := n.output(t, "web"); strings.Contains(said, "LEAK") {
		t.Error(said)
	}
	for fd := range 50 {
		e := spec.Exec{Command: []string{"pwd"}, WorkingDir: fmt.Sprintf("/proc/self/fd/%d", fd)}
		if s, err := n.Exec(t.Context(), "web", 1, e); err == nil {
			s.Close()
			t.Errorf("entered %s", e.WorkingDir)
		}
	}
}

// Clocks of its own are those of further processes, too.
func TestExecClocks(t *testing.T) {
	n := open(t)
	c := n.container("web", forever)
	c.Spec.Namespaces.Time.Boottime = spec.Offset(1000 * time.Hour)
	n.run(t, c, 1)
	n.hear(t, "web", "up")
	got, _ := n.inside(t, "web", command(`[ "$(readlink /proc/self/ns/time)" = "$(readlink /proc/1/ns/time)" ] && cut -d. -f1 /proc/uptime`), "")
	var uptime int
	if _, err := fmt.Sscan(got, &uptime); err != nil || uptime < 1000*3600 {
		t.Errorf("uptime %q, want more than 1000 hours", got)
	}
}

// An exec leaves the agent, the keeper and the node as they were.
func TestExecLeavesNothing(t *testing.T) { inBothWays(t, testExecLeavesNothing) }

func testExecLeavesNothing(t *testing.T, way spec.Capabilities) {
	n := open(t)
	n.run(t, n.with(way, "web", "echo up; exec sleep 1000"), 1)
	n.hear(t, "web", "up")
	n.inside(t, "web", spec.Exec{Command: []string{"true"}}, "")
	time.Sleep(100 * time.Millisecond) // the keeper hears a moment later that a session has ended
	kerneltest.NoLeaks(t, kerneltest.Scope{Parent: n.groups() + "/web/1", Dirs: []string{n.path("run")}, Pids: []int{0, n.keeper(t)}})
	for range 20 {
		n.inside(t, "web", spec.Exec{Command: []string{"true"}}, "")
		if _, err := n.Exec(t.Context(), "web", 1, spec.Exec{Command: []string{"/nowhere"}}); err == nil {
			t.Error("started")
		}
		e := command("exit 0")
		e.TTY = true
		n.inside(t, "web", e, "")
	}
}
