package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/client"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

var _ spec.Session = (*client.Session)(nil)

// talk serves an agent on which web runs; stop ends it and waits.
func talk(t testing.TB) (agent *apitest.Agent, c *client.Client, stop func()) {
	t.Helper()
	agent = apitest.New()
	agent.Put(object("web", spec.PhaseRunning))
	agent.Put(object("frozen", spec.PhasePaused))
	path := filepath.Join(t.TempDir(), "s")
	stop = serve(t, path, agent)
	c = client.New(path)
	return agent, c, stop
}

func exec(t testing.TB, c *client.Client, e spec.Exec) *client.Session {
	t.Helper()
	session, err := c.Exec(t.Context(), "web", e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

func shell(script string) spec.Exec { return spec.Exec{Command: []string{"sh", "-c", script}} }

// drain reads all output, and then the end.
func drain(t testing.TB, s *client.Session) (stdout, stderr string, exit spec.Exit) {
	t.Helper()
	var out, errOut bytes.Buffer
	var readers sync.WaitGroup
	readers.Go(func() { _, _ = io.Copy(&out, s.Stdout()) })
	if s.Stderr() != nil {
		readers.Go(func() { _, _ = io.Copy(&errOut, s.Stderr()) })
	}
	readers.Wait()
	exit, err := s.Wait(t.Context())
	if err != nil {
		t.Errorf("Wait: %v", err)
	}
	return out.String(), errOut.String(), exit
}

func TestExec(t *testing.T) {
	_, c, _ := talk(t)
	s := exec(t, c, spec.Exec{Command: []string{"sh", "-c", "echo out; echo $A >&2; exit 7"}, Env: map[string]string{"A": "err"}})
	out, errOut, exit := drain(t, s)
	if out != "out\n" || errOut != "err\n" || exit.Code != 7 || s.Stdin() != nil || s.Pid() != exit.Pid {
		t.Errorf("got %q, %q, %+v, pid %d", out, errOut, exit, s.Pid())
	}
	if err := errors.Join(s.Signal(t.Context(), "SIGTERM"), s.Resize(spec.TerminalSize{}), s.Close(), s.Close()); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

// Every byte gets through, in both directions at once, and the end of the input too.
func TestExecCarriesBytes(t *testing.T) {
	size := 100 << 20
	if testing.Short() {
		size = 4 << 20
	}
	_, c, _ := talk(t)
	s := exec(t, c, spec.Exec{Command: []string{"cat"}, Stdin: true})
	sent, received := sha256.New(), sha256.New()
	var sender sync.WaitGroup
	sender.Go(func() {
		noise := rand.NewChaCha8([32]byte{1})
		if _, err := io.CopyN(io.MultiWriter(s.Stdin(), sent), noise, int64(size)); err != nil {
			t.Error(err)
		}
		s.Stdin().Close()
	})
	n, err := io.Copy(received, s.Stdout())
	sender.Wait()
	if err != nil || n != int64(size) || !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
		t.Errorf("got %d of %d bytes, %v, the same: %t", n, size, err, bytes.Equal(sent.Sum(nil), received.Sum(nil)))
	}
	if _, err := s.Stdin().Write([]byte("more")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a write after the end: %v", err)
	}
	_, _ = io.Copy(io.Discard, s.Stderr())
	if exit, err := s.Wait(t.Context()); err != nil || exit.Code != 0 {
		t.Errorf("got %+v, %v", exit, err)
	}
}

// A process that does not read its input can still be signalled, and its end is told.
func TestExecSignalPassesInput(t *testing.T) {
	_, c, _ := talk(t)
	s := exec(t, c, spec.Exec{Command: []string{"sleep", "1000"}, Stdin: true})
	var sender sync.WaitGroup
	sender.Go(func() {
		// What a process did not take before it ended is dropped, or refused to who writes more.
		if _, err := s.Stdin().Write(make([]byte, 10<<20)); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("writing to nobody: %v", err)
		}
	})
	time.Sleep(50 * time.Millisecond) // the input piles up
	if err := s.Signal(t.Context(), "SIGTERM"); err != nil {
		t.Fatal(err)
	}
	_, _, exit := drain(t, s)
	if exit.Code != 128+15 || exit.Signal != "SIGTERM" {
		t.Errorf("got %+v", exit)
	}
	sender.Wait()
	if err := s.Signal(t.Context(), "SIGDANCE"); err == nil {
		t.Error("a signal that is none was sent")
	}
}

// A process that closes its input is not troubled, nor is who writes.
func TestExecInputNotWanted(t *testing.T) {
	_, c, _ := talk(t)
	e := shell("exec <&-; read go; sleep 0.1; echo done")
	e.Stdin = true
	s := exec(t, c, e)
	var sender sync.WaitGroup
	sender.Go(func() {
		_, _ = s.Stdin().Write(make([]byte, 10<<20))
		s.Stdin().Close()
	})
	out, _, exit := drain(t, s)
	sender.Wait()
	if out != "done\n" || exit.Code != 0 {
		t.Errorf("got %q, %+v", out, exit)
	}
}

func TestExecTerminal(t *testing.T) {
	_, c, _ := talk(t)
	e := shell("stty size; read line; stty size; echo got $line; test -t 0 && test -t 2")
	e.TTY, e.Stdin, e.Size = true, true, spec.TerminalSize{Rows: 33, Columns: 44}
	s := exec(t, c, e)
	if s.Stderr() != nil {
		t.Error("a terminal has one stream")
	}
	first := make([]byte, len("33 44\r\n"))
	if _, err := io.ReadFull(s.Stdout(), first); err != nil || string(first) != "33 44\r\n" {
		t.Fatalf("got %q, %v", first, err)
	}
	if err := s.Resize(spec.TerminalSize{Rows: 55, Columns: 66}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(s.Stdin(), "hello\r"); err != nil {
		t.Fatal(err)
	}
	out, _, exit := drain(t, s)
	if !strings.Contains(out, "55 66\r\n") || !strings.Contains(out, "got hello\r\n") || exit.Code != 0 {
		t.Errorf("got %q, %+v", out, exit)
	}
}

func TestExecRefused(t *testing.T) {
	agent, c, _ := talk(t)
	ls := spec.Exec{Command: []string{"ls"}}
	for what, test := range map[string]struct {
		name string
		exec spec.Exec
		want error
	}{
		"nobody":         {"nobody", ls, fs.ErrNotExist},
		"paused":         {"frozen", ls, spec.ErrNotRunning},
		"a conflict":     {"frozen", ls, api.ErrConflict},
		"no command":     {"web", spec.Exec{Command: []string{"/nowhere/at/all"}}, spec.ErrCommandNotFound},
		"no executable":  {"web", spec.Exec{Command: []string{"/etc/passwd"}}, spec.ErrCommandNotExecutable},
		"detached, none": {"web", spec.Exec{Command: []string{"/nowhere/at/all"}, Detach: true}, spec.ErrCommandNotFound},
	} {
		_, err := c.Exec(t.Context(), test.name, test.exec)
		if !errors.Is(err, test.want) || test.want != fs.ErrNotExist && errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want %v", what, err, test.want)
		}
	}
	if _, err := c.Attach(t.Context(), "web"); !errors.Is(err, spec.ErrNotRunning) {
		t.Errorf("attach to nothing: %v", err)
	}
	_, err := client.New(filepath.Join(t.TempDir(), "s")).Exec(t.Context(), "web", ls)
	if !errors.Is(err, client.ErrNotRunning) {
		t.Errorf("without an agent: %v", err)
	}
	if n := len(agent.Sessions()); n != 0 {
		t.Errorf("%d sessions came of what was refused", n)
	}
}

func TestExecDetached(t *testing.T) {
	agent, c, _ := talk(t)
	s := exec(t, c, spec.Exec{Command: []string{"sleep", "1000"}, Detach: true})
	process := agent.Sessions()[0]
	if s.Pid() != process.Pid() || s.Stdin() != nil || s.Stdout() != nil {
		t.Errorf("got pid %d, want %d", s.Pid(), process.Pid())
	}
	if _, err := s.Wait(t.Context()); err == nil {
		t.Error("the end of a detached process was told")
	}
	s.Close()
	select {
	case <-process.Ended():
		t.Error("the process ended with its session")
	default:
	}
	if err := process.Signal(t.Context(), "SIGKILL"); err != nil {
		t.Error(err)
	}
	<-process.Ended()
}

// A client that leaves ends what it has started, with its children.
func TestExecClose(t *testing.T) {
	agent, c, _ := talk(t)
	s := exec(t, c, shell("sleep 1000 & echo up; yes; wait"))
	if _, err := io.ReadFull(s.Stdout(), make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	s.Close() // with output that nobody reads
	<-agent.Sessions()[0].Ended()
	if _, err := s.Wait(t.Context()); err == nil {
		t.Error("a closed session knows how its process ended")
	}
	if _, err := s.Stdout().Read(make([]byte, 1)); err == nil {
		t.Error("a closed session has output")
	}
}

// One that waits for the start may leave.
func TestExecContext(t *testing.T) {
	_, c, _ := talk(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Exec(ctx, "web", spec.Exec{Command: []string{"ls"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// An agent that ends takes its sessions along, and says so.
func TestAgentEndsSessions(t *testing.T) {
	agent, c, stop := talk(t)
	idle := exec(t, c, spec.Exec{Command: []string{"sleep", "1000"}, Stdin: true})
	unread := exec(t, c, spec.Exec{Command: []string{"yes"}})
	go func() { _, _ = io.Copy(io.Discard, idle.Stdout()) }()
	stop()
	for _, process := range agent.Sessions() {
		<-process.Ended()
	}
	if _, err := idle.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "the agent ends") {
		t.Errorf("got %v", err)
	}
	_, _ = io.Copy(io.Discard, unread.Stdout())
	if _, err := unread.Wait(t.Context()); err == nil {
		t.Error("got no error")
	}
}

func TestAttach(t *testing.T) {
	agent, c, _ := talk(t)
	process, err := agent.Run("web", spec.Exec{Command: []string{"sh", "-c", "while read line; do echo got $line; echo err >&2; test $line != bye || exit 3; done"}, Stdin: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.Close() })
	var two [2]*client.Session
	for i := range two {
		if two[i], err = c.Attach(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, two[i].Stderr()) }()
	}
	want := func(s *client.Session, text string) {
		t.Helper()
		got := make([]byte, len(text))
		if _, err := io.ReadFull(s.Stdout(), got); err != nil || string(got) != text {
			t.Errorf("got %q, %v, want %q", got, err, text)
		}
	}
	fmt.Fprintln(two[0].Stdin(), "one")
	want(two[0], "got one\n")
	want(two[1], "got one\n")
	two[0].Stdin().Close() // ends nothing
	two[0].Close()
	for agent.Attached("web") != 1 {
		time.Sleep(time.Millisecond)
	}
	fmt.Fprintln(two[1].Stdin(), "two")
	want(two[1], "got two\n")
	fmt.Fprintln(two[1].Stdin(), "bye")
	want(two[1], "got bye\n")
	if exit, err := two[1].Wait(t.Context()); err != nil || exit.Code != 3 {
		t.Errorf("got %+v, %v", exit, err)
	}
}

// BenchmarkExec is one exec of true by turns with one outside of any session: the difference is what the API costs.
func BenchmarkExec(b *testing.B) {
	agent, c, _ := talk(b)
	e := spec.Exec{Command: []string{"true"}}
	b.Run("session", func(b *testing.B) {
		for b.Loop() {
			s, err := c.Exec(b.Context(), "web", e)
			if err != nil {
				b.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, s.Stderr()) }()
			_, _ = io.Copy(io.Discard, s.Stdout())
			if exit, err := s.Wait(b.Context()); err != nil || exit.Code != 0 {
				b.Fatal(exit, err)
			}
			s.Close()
		}
	})
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			s, err := agent.Exec(b.Context(), "web", e)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, s.Stdout())
			_, _ = s.Wait(b.Context())
			s.Close()
		}
	})
}
