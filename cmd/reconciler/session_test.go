package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// stage is an agent in memory whose containers are this machine: web runs, frozen is paused.
type stage struct {
	testing.TB
	agent  *apitest.Agent
	socket string
	stop   func() // ends the agent
}

func newStage(t testing.TB) *stage {
	t.Helper()
	dir, err := os.MkdirTemp("", "rses")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &stage{TB: t, agent: apitest.New(), socket: filepath.Join(dir, "s")}
	for name, phase := range map[string]spec.Phase{"web": spec.PhaseRunning, "frozen": spec.PhasePaused} {
		s.agent.Put(spec.Object{Metadata: spec.ObjectMetadata{Metadata: spec.Metadata{Name: name}}, Status: spec.Status{Phase: phase}})
	}
	listener, err := api.Listen(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := api.New(api.Config{Agent: s.agent, Logs: s.agent, Node: s.agent, Images: s.agent, Log: logr.Discard()})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(ctx, listener); err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	s.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(s.stop)
	return s
}

// TestSessionScripts runs testdata/session: exec and attach as a user types them. Beside what testscript has, the scripts know `own NAME
// COMMAND...`, which starts the own process of a container.
func TestSessionScripts(t *testing.T) {
	s := newStage(t)
	socket := func(*testscript.Env) string { return s.socket }
	testscript.Run(t, scripts("testdata/session", socket, commands{
		"own": func(ts *testscript.TestScript, _ bool, args []string) {
			process, err := s.agent.Run(args[0], spec.Exec{Command: args[1:], Stdin: true})
			ts.Check(err)
			ts.Defer(func() { process.Close() })
		},
	}))
}

// command is reconciler on the stage.
func (s *stage) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "RECONCILER_SOCKET="+s.socket, "TERM=dumb")
	cmd.Stderr = os.Stderr
	return cmd
}

// A hundred megabytes come back from cat as they went in.
func TestExecIsBinarySafe(t *testing.T) {
	size := int64(100 << 20)
	if testing.Short() {
		size = 4 << 20
	}
	s := newStage(t)
	sent, received := sha256.New(), sha256.New()
	cmd := s.command("exec", "-i", "web", "cat")
	cmd.Stdin = io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{7}), size), sent)
	cmd.Stdout = received
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
		t.Error("what came back is not what went in")
	}
}

// screenplay is reconciler on a terminal.
type screenplay struct {
	*stage
	cmd    *exec.Cmd
	master *os.File
	seen   []byte
	before *term.State
	slave  *os.File
}

// play starts reconciler on a terminal of 24 lines and 80 columns.
func (s *stage) play(args ...string) *screenplay {
	s.Helper()
	master, slave, err := apitest.Pty()
	if err != nil {
		s.Fatal(err)
	}
	p := &screenplay{stage: s, cmd: s.command(args...), master: master, slave: slave}
	p.resize(24, 80)
	if p.before, err = term.GetState(int(slave.Fd())); err != nil {
		s.Fatal(err)
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		master.Close()
		slave.Close()
	})
	return p
}

func (p *screenplay) resize(rows, columns uint16) {
	p.Helper()
	raw, err := p.master.SyscallConn()
	if err != nil {
		p.Fatal(err)
	}
	ctlErr := raw.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	})
	if err := errors.Join(err, ctlErr); err != nil {
		p.Fatal(err)
	}
}

// sees waits until the screen shows a text after what it has shown before.
func (p *screenplay) sees(text string) {
	p.Helper()
	buffer := make([]byte, 4096)
	for {
		if _, rest, ok := bytes.Cut(p.seen, []byte(text)); ok {
			p.seen = rest
			return
		}
		_ = p.master.SetReadDeadline(time.Now().Add(patience))
		n, err := p.master.Read(buffer)
		p.seen = append(p.seen, buffer[:n]...)
		if err != nil {
			p.Fatalf("the screen shows %q, not %q: %v", p.seen, text, err)
		}
	}
}

func (p *screenplay) types(keys string) {
	p.Helper()
	if _, err := io.WriteString(p.master, keys); err != nil {
		p.Fatal(err)
	}
}

// ends waits for the end, with a code, and for the terminal to be as it was.
func (p *screenplay) ends(code int) {
	p.Helper()
	_ = p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.Errorf("exit code %d, want %d", got, code)
	}
	after, err := term.GetState(int(p.slave.Fd()))
	if err != nil || *after != *p.before {
		p.Errorf("the terminal was left as it was not: %v", err)
	}
}

func TestExecOnATerminal(t *testing.T) {
	p := newStage(t).play("exec", "-it", "web", "sh", "-c", `stty size; cat; until stty size | grep '50 100'; do sleep 0.05; done; exit 5`)
	p.sees("24 80")
	p.types("hello\r")
	p.sees("hello\r\nhello\r\n")
	p.types("\x04") // Ctrl-D is the command's
	p.resize(50, 100)
	p.sees("50 100")
	p.ends(5)
}

// Ctrl-C is a key like any other: the terminal of the command makes a signal of it.
func TestExecCtrlC(t *testing.T) {
	p := newStage(t).play("exec", "-it", "web", "sh", "-c", "trap 'echo caught; exit 6' INT; echo up; while :; do sleep 0.05; done")
	p.sees("up")
	p.types("\x03")
	p.sees("caught")
	p.ends(6)
}

// A signal from elsewhere ends the talk, the command and raw mode.
func TestExecTerminalSignalled(t *testing.T) {
	s := newStage(t)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		p := s.play("exec", "-it", "web", "sh", "-c", "echo up; sleep 1000")
		p.sees("up")
		if err := p.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		p.ends(128 + int(signal))
	}
	for _, process := range s.agent.Sessions() {
		<-process.Ended()
	}
}

// An agent that ends gives the terminal back, and the reason.
func TestExecAgentEnds(t *testing.T) {
	s := newStage(t)
	p := s.play("exec", "-it", "web", "sh", "-c", "echo up; sleep 1000")
	p.sees("up")
	s.stop()
	p.sees("error: the agent ends")
	p.ends(125)
}

// Without a terminal, signals are the command's.
func TestExecForwardsSignals(t *testing.T) {
	s := newStage(t)
	for name, signal := range map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT} {
		cmd := s.command("exec", "web", "sh", "-c", "trap 'echo caught "+name+"; exit 8' "+name+"; echo up; while :; do sleep 0.05; done")
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(out)
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 8 || string(rest) != "caught "+name+"\n" {
			t.Errorf("%s: exit code %d with %q", name, code, rest)
		}
	}
}

// A client that is killed takes the command along.
func TestExecKilled(t *testing.T) {
	s := newStage(t)
	p := s.play("exec", "-it", "web", "sh", "-c", "echo up; sleep 1000")
	p.sees("up")
	_ = p.cmd.Process.Kill()
	<-s.agent.Sessions()[0].Ended()
}

// A pipe that breaks ends the command, as it ends every program.
func TestExecBrokenPipe(t *testing.T) {
	s := newStage(t)
	cmd := s.command("exec", "web", "yes")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	out.Close()
	_ = cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGPIPE {
		t.Errorf("got %v", cmd.ProcessState)
	}
	<-s.agent.Sessions()[0].Ended()
}

func TestAttachOnATerminal(t *testing.T) {
	s := newStage(t)
	process, err := s.agent.Run("web", spec.Exec{Command: []string{"sh", "-c", "while read line; do stty size; echo got $line; done; exit 4"}, Stdin: true, TTY: true})
	if err != nil {
		t.Fatal(err)
	}
	defer process.Close()
	for _, keys := range []string{"\x10\x11", "x\x10"} {
		args := []string{"attach", "web"}
		if keys[0] == 'x' {
			args = []string{"attach", "--detach-keys", "x,ctrl-p", "web"}
		}
		p := s.play(args...)
		p.sees("leave the container")
		p.types("one\r")
		p.sees("24 80\r\ngot one\r\n")
		p.types(keys)
		p.sees("left; the container runs on")
		p.ends(0)
	}
	select {
	case <-process.Ended():
		t.Error("the container ended")
	default:
	}
	p := s.play("attach", "web")
	p.sees("leave the container")
	p.types("\x10\x15\x04") // half the keys; nothing in the line; the end that the container's terminal makes of a key
	p.ends(4)
	<-process.Ended()
}

func TestDetachKeys(t *testing.T) {
	for _, test := range []struct {
		keys, in, out string
		leave         bool
	}{
		{"ctrl-p,ctrl-q", "ab\x10\x11c", "ab", true},
		{"ctrl-p,ctrl-q", "\x10a\x10\x10\x11", "\x10a\x10", true},
		{"ctrl-p,ctrl-q", "\x11\x10", "\x11", false},
		{"a,a,b", "aaab", "a", true},
		{"a,b,a,c", "ababac", "ab", true},
		{"ctrl-@", "x\x00", "x", true},
		{"ctrl-],~", "\x1d\x1d~", "\x1d", true},
		{"ctrl-P", "\x10", "", true},
	} {
		for size := 1; size <= len(test.in); size++ {
			var d detachKeys
			if err := d.Set(test.keys); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			leave := false
			for rest := test.in; rest != "" && !leave; {
				var passed []byte
				n := min(size, len(rest))
				passed, leave = d.pass([]byte(rest[:n]))
				out.Write(passed)
				rest = rest[n:]
			}
			if out.String() != test.out || leave != test.leave {
				t.Errorf("%s, %d at a time: %q becomes %q, %t, want %q, %t", test.keys, size, test.in, out.String(), leave, test.out, test.leave)
			}
		}
	}
	for _, text := range []string{"", "ctrl-", "ctrl-1", "ab", "ctrl-p,", " ", "ctrl-pp", "é"} {
		if new(detachKeys).Set(text) == nil {
			t.Errorf("%q was taken for keys", text)
		}
	}
}

// BenchmarkExecTrue is the whole command `reconciler exec web true`, and beside it a round trip of one that starts nothing.
func BenchmarkExecTrue(b *testing.B) {
	s := newStage(b)
	for name, args := range map[string][]string{"exec": {"exec", "web", "true"}, "version": {"version"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := s.command(args...).Run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
