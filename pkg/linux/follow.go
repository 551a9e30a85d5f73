package linux

import (
	"context"
	"errors"
	"io"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Follow gives the container's own process a reader and writers of this program, to the end of its current start, and tells how it ended: it is to
// Start what exec.Cmd.Wait is to its Start. Out and Err get everything from the first byte on, as from Output; In takes something only if the
// spec says stdin, and its end is not that of the container's input, which outlives who follows. The end of ctx ends the
// following and not the container. A shell that shows a terminal wants Attach, and Streams.Copy, instead.
func (c *Container) Follow(ctx context.Context, s Streams) (spec.Exit, error) {
	first, err := c.State(ctx)
	if err != nil {
		return spec.Exit{}, err
	}
	stop, err := c.feed(ctx, s.In)
	if err != nil {
		return spec.Exit{}, err
	}
	err = c.output(ctx, first, s.Out, s.Err)
	if err = errors.Join(err, stop()); err != nil {
		return spec.Exit{}, about("follow", c.name, err)
	}
	exit, err := c.await(ctx, first)
	return exit, about("follow", c.name, err)
}

// feed copies what a reader gives to the process's input until stop. One that has ended takes nothing.
func (c *Container) feed(ctx context.Context, in io.Reader) (stop func() error, err error) {
	none := func() error { return nil }
	if in == nil {
		return none, nil
	}
	session, err := c.Attach(ctx)
	if errors.Is(err, spec.ErrNotRunning) {
		return none, nil
	}
	if err != nil {
		return nil, err
	}
	fed, cancel := context.WithCancel(ctx)
	copied := make(chan struct{})
	go func() { // what the session says is thrown away: the log has all of it
		defer close(copied)
		_, _ = Streams{In: in}.Copy(fed, session)
	}()
	return func() error {
		cancel()
		<-copied
		return session.Close()
	}, nil
}
