package linux

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/linux/log"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Wait waits for the end of the command's current start and tells how it ended; at once if it has ended. Any number may wait, also after this
// program was started anew: an exit is kept until the next start. A container that was never started is spec.ErrNotRunning,
// one that is destroyed meanwhile fs.ErrNotExist. An exit that nobody saw, because it came while neither program nor keeper were there or was
// followed by another start at once, has the reason spec.ExitUnknown.
func (c *Container) Wait(ctx context.Context) (spec.Exit, error) {
	first, err := c.State(ctx)
	if err != nil {
		return spec.Exit{}, err
	}
	exit, err := c.await(ctx, first)
	return exit, about("wait for", c.name, err)
}

// await waits for the end of the start that was seen.
func (c *Container) await(ctx context.Context, first spec.Instance) (spec.Exit, error) {
	switch {
	case first.Starts == 0:
		return spec.Exit{}, spec.ErrNotRunning
	case first.Exit != nil:
		return *first.Exit, nil
	}
	listening, stop := context.WithCancel(ctx)
	defer stop()
	events, err := c.node.keeper.Events(listening)
	if err != nil {
		return spec.Exit{}, err
	}
	for { // the first time because it may have ended before anybody listened
		in, err := c.State(ctx)
		switch {
		case err != nil:
			return spec.Exit{}, err
		case in.Starts != first.Starts:
			return spec.Exit{Code: -1, Reason: spec.ExitUnknown, Pid: first.Pid, StartedAt: first.StartedAt}, nil
		case in.Exit != nil:
			return *in.Exit, nil
		case in.Phase == spec.InstanceBroken:
			return spec.Exit{}, fmt.Errorf("%s: %w", in.Problem, fs.ErrNotExist)
		}
		for heard := false; !heard; {
			event, open := <-events
			if !open { // ctx has ended
				return spec.Exit{}, context.Cause(ctx)
			}
			heard = event.Name == c.name || event.Name == ""
		}
	}
}

// Output copies what the command's current start says, byte for byte and from its beginning whenever it is called, to the writers, either of
// which may be nil. It returns when the start has ended and all of it is written. A slow writer does not hold up the container; one
// that is slower than the bounds in spec.logs allow misses what they drop. With a terminal all is standard output.
func (c *Container) Output(ctx context.Context, stdout, stderr io.Writer) error {
	first, err := c.State(ctx)
	if err != nil {
		return err
	}
	return about("copy the output of", c.name, c.output(ctx, first, stdout, stderr))
}

// output copies what the start says that was seen.
func (c *Container) output(ctx context.Context, first spec.Instance, stdout, stderr io.Writer) error {
	if first.Starts == 0 {
		return spec.ErrNotRunning
	}
	// The log itself notes the end. Should nobody have written that down, Wait's word counts.
	waiting, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer stop()
	ended := make(chan struct{})
	wait.Go(func() {
		if _, err := c.await(waiting, first); err == nil || waiting.Err() == nil {
			close(ended)
		}
	})
	return log.Copy(ctx, c.node.LogDir(c.name), log.Run{Instance: c.id, Start: uint32(first.Starts)}, ended, stdout, stderr)
}
