package probe_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/probe"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// An exec succeeds with 0; else its code is told with the first line that it has said.
func TestExec(t *testing.T) {
	for name, c := range map[string]struct {
		code int
		said string
		err  error
		says string
	}{
		"0":          {0, "noise", nil, ""},
		"1":          {1, "", nil, "exit code 1"},
		"with words": {3, "\n  no database\x1b[0m\nmore\n", nil, "exit code 3: no database?[0m"},
		"long":       {3, strings.Repeat("x", 4096), nil, "exit code 3: xxx"},
		"failed":     {0, "", errors.New("cannot exec in \"web\": busy"), "busy"},
	} {
		m := probe.Means{Exec: func(_ context.Context, command []string) (int, []byte, error) {
			if len(command) != 2 || command[1] != "--deep" {
				t.Errorf("%s: ran %q", name, command)
			}
			return c.code, []byte(c.said), c.err
		}}
		want(t, name, probe.Check(t.Context(), spec.Probe{Exec: &spec.ExecProbe{Command: []string{"/bin/check", "--deep"}}}, m), c.says)
	}
}

// process is a session whose process says much on both sides, and ends when it is killed if not by itself.
type process struct {
	spec.Session
	code   int
	hangs  bool
	ended  chan struct{}
	closed int
}

func (p *process) Stdout() io.Reader { return io.MultiReader(p.text("out"), p.end()) }
func (p *process) Stderr() io.Reader { return io.MultiReader(p.text("err"), p.end()) }

func (p *process) text(s string) io.Reader { return bytes.NewReader(bytes.Repeat([]byte(s), 1<<20)) }

// end is the end of a stream, which comes with that of the process.
func (p *process) end() io.Reader {
	return readerFunc(func([]byte) (int, error) {
		<-p.ended
		return 0, io.EOF
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func (p *process) Wait(ctx context.Context) (spec.Exit, error) {
	if p.hangs {
		<-ctx.Done()
		return spec.Exit{}, ctx.Err()
	}
	close(p.ended)
	return spec.Exit{Code: p.code}, nil
}

func (p *process) Close() error {
	if p.closed++; p.hangs {
		close(p.ended)
	}
	return nil
}

// A session is run to its end or the end of time, closed in any case, and of what it says the beginning is kept.
func TestRun(t *testing.T) {
	for name, p := range map[string]*process{"ends": {code: 7, ended: make(chan struct{})}, "hangs": {hangs: true, ended: make(chan struct{})}} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		code, output, err := probe.Run(ctx, []string{"/bin/check"}, func(_ context.Context, e spec.Exec) (spec.Session, error) {
			if len(e.Command) != 1 || e.Detach || e.TTY || e.Stdin {
				t.Errorf("%s: asked for %+v", name, e)
			}
			return p, nil
		})
		cancel()
		if p.closed != 1 || len(output) != probe.MaxOutput || code != p.code {
			t.Errorf("%s: closed %d times, %d bytes, code %d", name, p.closed, len(output), code)
		}
		if p.hangs != errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := probe.Run(t.Context(), nil, func(context.Context, spec.Exec) (spec.Session, error) { return nil, spec.ErrBusy }); !errors.Is(err, spec.ErrBusy) {
		t.Error(err)
	}
}
