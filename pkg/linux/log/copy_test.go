package log_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/seed31d4122e/reconciler/pkg/linux/log"
)

// copied is what a copy of a run gave.
func (p *tap) copied(ctx context.Context, run log.Run, ended <-chan struct{}) (out, errs string) {
	p.t.Helper()
	var stdout, stderr strings.Builder
	if err := log.Copy(ctx, p.dir, run, ended, &stdout, &stderr); err != nil {
		p.t.Fatal(err)
	}
	return stdout.String(), stderr.String()
}

// A copy has every byte of its run and nothing of another's, whether it was there before or came meanwhile; it ends with the run.
func TestCopy(t *testing.T) {
	p := newTap(t, log.Limits{})
	second := log.Run{Instance: first.Instance, Start: first.Start + 1}
	p.w.Begin(first)
	p.say(first, log.Stdout, "one\nno newline")
	p.say(first, log.Stderr, "err")
	p.w.End(first)
	p.w.Begin(second)
	p.say(second, log.Stdout, "two\n")

	if out, errs := p.copied(t.Context(), first, nil); out != "one\nno newline" || errs != "err" {
		t.Errorf("of the first run: %q, %q", out, errs)
	}

	r, w := io.Pipe()
	done := make(chan error)
	go func() {
		done <- errors.Join(log.Copy(t.Context(), p.dir, second, nil, w, nil), w.Close())
	}()
	four := make([]byte, 4)
	if _, err := io.ReadFull(r, four); err != nil || string(four) != "two\n" {
		t.Errorf("while it runs: %q, %v", four, err)
	}
	p.say(second, log.Stderr, "not wanted")
	p.say(second, log.Stdout, "three")
	p.w.End(second)
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "three" {
		t.Errorf("to its end: %q, %v", rest, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A run whose end nobody noted is copied once its reader knows that it has ended: all segments of it, or nothing of a log that never came.
func TestCopyWithoutEnd(t *testing.T) {
	p := newTap(t, log.Limits{MaxSize: 4096, MaxFiles: 100})
	p.w.Begin(first)
	said := strings.Repeat(strings.Repeat("x", 99)+"\n", 200)
	for line := range strings.Lines(said) {
		p.say(first, log.Stdout, line)
	}
	ended := make(chan struct{})
	close(ended)
	if out, _ := p.copied(t.Context(), first, ended); out != said {
		t.Errorf("got %d bytes of %d", len(out), len(said))
	}
	p.dir = t.TempDir()
	if out, errs := p.copied(t.Context(), first, ended); out+errs != "" {
		t.Errorf("of nothing: %q, %q", out, errs)
	}
}

// A copy ends with its context and with a writer that takes no more, and says so.
func TestCopyFails(t *testing.T) {
	p := newTap(t, log.Limits{})
	p.w.Begin(first)
	p.say(first, log.Stdout, "one\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	err := log.Copy(ctx, p.dir, first, nil, writer(func([]byte) (int, error) { cancel(stop); return 0, nil }), nil)
	if !errors.Is(err, stop) {
		t.Errorf("with its context: %v", err)
	}
	if err := log.Copy(t.Context(), p.dir, first, nil, writer(func([]byte) (int, error) { return 0, iotest.ErrTimeout }), nil); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("with its writer: %v", err)
	}
}

// writer is a function that is one.
type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
