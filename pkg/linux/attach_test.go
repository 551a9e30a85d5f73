package linux_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// listen reads from r until text comes.
func listen(t testing.TB, r io.Reader, text string) string {
	t.Helper()
	var all strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(all.String(), text) {
		n, err := r.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v after %q, before %q", err, all.String(), text)
		}
	}
	return all.String()
}

// Whoever attaches hears the container and is heard by it; two do not disturb each other; the log has it all.
func TestAttach(t *testing.T) {
	n := open(t)
	c := n.container("web", `echo up; while read line; do echo "got $line"; echo "err $line" >&2; done; sleep 1000`)
	c.Spec.Stdin = true
	n.run(t, c, 1)
	n.hear(t, "web", "up")
	a, err := n.Attach(t.Context(), "web", 1)
	must(t, err)
	b, err := n.Attach(t.Context(), "web", 1)
	must(t, err)
	_, err = io.WriteString(a.Stdin(), "one\n")
	must(t, err)
	listen(t, a.Stdout(), "got one\n")
	listen(t, b.Stdout(), "got one\n")
	listen(t, b.Stderr(), "err one\n")
	must(t, a.Stdin().Close())
	must(t, a.Close())
	_, err = io.WriteString(b.Stdin(), "two\n")
	must(t, err)
	listen(t, b.Stdout(), "got two\n")
	listen(t, b.Stderr(), "err two\n")
	must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
	rest, err := io.ReadAll(b.Stdout())
	must(t, err)
	if exit, err := b.Wait(t.Context()); err != nil || exit.Signal != "SIGKILL" || len(rest) > 0 {
		t.Errorf("%+v, %v, %q", exit, err, rest)
	}
	must(t, b.Close())
	n.await(t, "web", 1, exited)
	said := strings.Fields(strings.ReplaceAll(n.output(t, "web"), " ", "-"))
	slices.Sort(said) // the two outputs are in no order
	if want := []string{"err-one", "err-two", "got-one", "got-two", "up"}; !slices.Equal(said, want) {
		t.Errorf("the log has %q", said)
	}
	if _, err := n.Attach(t.Context(), "web", 1); !errors.Is(err, spec.ErrNotRunning) {
		t.Errorf("attached to an ended one: %v", err)
	}
}

// A container with a terminal: its own /dev/console, a controlling terminal, a size, input by attach, output in the log.
func TestTerminal(t *testing.T) {
	n := open(t)
	c := n.container("web", `tty; ls -l /dev/console | cut -c1; trap 'stty size' WINCH; echo ready; while :; do read line && echo "got $line"; [ "$line" = quit ] && exit 0; done`)
	c.Spec.TTY, c.Spec.Stdin = true, true
	n.run(t, c, 1)
	n.hear(t, "web", "ready")
	a, err := n.Attach(t.Context(), "web", 1)
	must(t, err)
	defer a.Close()
	if a.Stderr() != nil {
		t.Error("a terminal has a second output")
	}
	must(t, a.Resize(spec.TerminalSize{Rows: 50, Columns: 132}))
	_, err = io.WriteString(a.Stdin(), "hello\n")
	must(t, err)
	if got := listen(t, a.Stdout(), "got hello"); !strings.Contains(got, "50 132") {
		t.Errorf("%q", got)
	}
	_, err = io.WriteString(a.Stdin(), "quit\n")
	must(t, err)
	if exit, err := a.Wait(t.Context()); err != nil || exit.Code != 0 {
		t.Errorf("%+v, %v", exit, err)
	}
	if got := n.output(t, "web"); !strings.HasPrefix(got, "/dev/pts/0\r\nc\r\nready\r\n") || !strings.Contains(got, "got hello\r\n") {
		t.Errorf("the log has %q", got)
	}
	must(t, n.Start(t.Context(), "web", 1)) // with a new terminal
	n.await(t, "web", 1, in(spec.InstanceRunning))
}

// Who attaches and does not read holds up the container for a moment and no longer, and the log misses nothing.
func TestAttachIdly(t *testing.T) {
	n := open(t)
	c := n.container("web", `echo up; sleep 0.2; i=0; while [ $i -lt 3000 ]; do echo "$i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"; i=$((i+1)); done`)
	n.run(t, c, 1)
	n.hear(t, "web", "up")
	a, err := n.Attach(t.Context(), "web", 1)
	must(t, err)
	defer a.Close()
	n.await(t, "web", 1, exited)
	if lines := strings.Count(n.output(t, "web"), "\n"); lines != 3001 {
		t.Errorf("the log has %d lines", lines)
	}
}

// Input that is kept open outlives the agent and the keeper.
func TestStdinSurvives(t *testing.T) {
	n := open(t)
	c := n.container("web", `echo up; while read line; do echo "got $line"; done; echo end`)
	c.Spec.Stdin = true
	n.run(t, c, 1)
	n.hear(t, "web", "up")
	n.killKeeper(t)
	n.reopen(t)
	time.Sleep(10 * time.Millisecond)
	a, err := n.Attach(t.Context(), "web", 1)
	must(t, err)
	defer a.Close()
	_, err = io.WriteString(a.Stdin(), "still there\n")
	must(t, err)
	listen(t, a.Stdout(), "got still there")
}
