package apitest

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// own is a container's own process, with everybody who is attached to it.
type own struct {
	*Session
	mu       sync.Mutex
	attached map[*attachment]bool
	over     bool // there is no more output
}

// Run starts the own process of a container, for Attach. The caller closes it.
func (a *Agent) Run(name string, e spec.Exec) (*Session, error) {
	session, err := start(e)
	if err != nil {
		return nil, err
	}
	o := &own{Session: session, attached: map[*attachment]bool{}}
	var pumps sync.WaitGroup
	pumps.Go(func() { o.pump(o.stdout, func(at *attachment) *io.PipeWriter { return at.out }) })
	if o.stderr != nil {
		pumps.Go(func() { o.pump(o.stderr, func(at *attachment) *io.PipeWriter { return at.errOut }) })
	}
	go func() {
		pumps.Wait()
		o.mu.Lock()
		defer o.mu.Unlock()
		o.over = true
		for at := range o.attached {
			at.end()
		}
	}()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.owns[name] = o
	return session, nil
}

// pump gives output to everybody who is attached.
func (o *own) pump(from io.Reader, to func(*attachment) *io.PipeWriter) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		o.mu.Lock()
		var writers []*io.PipeWriter
		for at := range o.attached {
			writers = append(writers, to(at))
		}
		o.mu.Unlock()
		for _, w := range writers {
			_, _ = w.Write(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}

// Attach joins the process that Run has started.
func (a *Agent) Attach(_ context.Context, name string) (spec.Session, error) {
	a.mu.Lock()
	o := a.owns[name]
	a.mu.Unlock()
	if o == nil {
		return nil, fmt.Errorf("container %q does not run: %w", name, spec.ErrNotRunning)
	}
	at := &attachment{own: o}
	at.stdout, at.out = io.Pipe()
	if o.stderr != nil {
		at.stderr, at.errOut = io.Pipe()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.attached[at] = true
	if o.over {
		at.end()
	}
	return at, nil
}

// Attached is how many are attached to a container.
func (a *Agent) Attached(name string) int {
	a.mu.Lock()
	o := a.owns[name]
	a.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.attached)
}

// attachment is one who is attached.
type attachment struct {
	*own
	stdout, stderr *io.PipeReader
	out, errOut    *io.PipeWriter
}

// Stdin is the process's, whose end is nobody's to make.
func (at *attachment) Stdin() io.WriteCloser {
	if at.stdin == nil {
		return nil
	}
	return terminal{at.stdin}
}

func (at *attachment) Stdout() io.Reader { return at.stdout }

func (at *attachment) Stderr() io.Reader {
	if at.stderr == nil {
		return nil
	}
	return at.stderr
}

func (at *attachment) end() {
	at.out.Close()
	if at.errOut != nil {
		at.errOut.Close()
	}
}

// Close leaves the process alone.
func (at *attachment) Close() error {
	at.stdout.Close()
	if at.stderr != nil {
		at.stderr.Close()
	}
	at.mu.Lock()
	defer at.mu.Unlock()
	delete(at.attached, at)
	return nil
}
