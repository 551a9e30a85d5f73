package linux

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Streams are where a process's input comes from and its output goes; what is nil is not there.
type Streams struct {
	In  io.Reader
	Out io.Writer // of a terminal: all output
	Err io.Writer
}

// Exec starts a further process in the container, with its namespaces, limits and confinement. ctx bounds the start; the process ends with its
// session unless e.Detach. Of a command that is not there errors.Is finds spec.ErrCommandNotFound, of one that cannot be executed
// spec.ErrCommandNotExecutable; a container that does not run, or is paused, is spec.ErrNotRunning, a wrong e fs.ErrInvalid.
func (c *Container) Exec(ctx context.Context, e spec.Exec) (spec.Session, error) {
	if err := e.Check(); err != nil {
		return nil, about("exec in", c.name, &classed{err, fs.ErrInvalid})
	}
	session, err := c.node.Exec(ctx, c.name, c.id, e)
	return session, ofCommand(err)
}

// Attach joins the input and output of the container's own process, from now on; see Output for what it said before. Its input takes something
// only if the spec says stdin. Any number may be attached; closing a session leaves the container as it is. spec.ErrNotRunning without a process.
func (c *Container) Attach(ctx context.Context) (spec.Session, error) {
	return c.node.Attach(ctx, c.name, c.id)
}

// Do runs a further process to its end, as os/exec would: e.Stdin is set when there is an s.In. The end of ctx kills it. A code other
// than 0 is no error; the errors are those of Exec.
func (c *Container) Do(ctx context.Context, e spec.Exec, s Streams) (spec.Exit, error) {
	e.Stdin = s.In != nil
	session, err := c.Exec(ctx, e)
	if err != nil {
		return spec.Exit{}, err
	}
	return s.Copy(ctx, session)
}

// Copy copies between a session and s until the process has ended and all it said is copied, closes the session and tells how the process ended.
// When ctx ends first, or a writer takes no more, the session is closed and the error says why.
//
// Copy does not wait for s.In: a Read that is under way when the process ends goes on, and what it gets is lost.
func (s Streams) Copy(ctx context.Context, session spec.Session) (exit spec.Exit, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer func() { err = errors.Join(err, session.Close()) }()
	if in := session.Stdin(); in != nil && s.In != nil {
		go func() {
			_, _ = io.Copy(in, s.In) // a process need not take its input
			_ = in.Close()
		}()
	}
	var output sync.WaitGroup
	for _, stream := range []struct {
		to   io.Writer
		from io.Reader
	}{{s.Out, session.Stdout()}, {s.Err, session.Stderr()}} {
		if stream.from == nil {
			continue
		}
		if stream.to == nil {
			stream.to = io.Discard
		}
		output.Go(func() {
			if _, err := io.Copy(stream.to, stream.from); err != nil {
				stop(err)
			}
		})
	}
	exit, err = session.Wait(ctx)
	if err != nil { // what is still being read ends with the session
		err = errors.Join(err, session.Close())
	}
	copied := make(chan struct{})
	go func() { output.Wait(); close(copied) }()
	select {
	case <-copied:
	case <-ctx.Done():
		err = errors.Join(err, session.Close())
		<-copied
	}
	if cause := context.Cause(ctx); err == nil && cause != nil {
		err = cause
	}
	return exit, err
}
