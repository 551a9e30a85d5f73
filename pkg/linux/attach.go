package linux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Attach joins the input and output of an instance's own process; see reconcile.Node.
func (n *Node) Attach(ctx context.Context, name string, id uint64) (_ spec.Session, err error) {
	defer func() { err = about("attach to", name, err) }()
	in, err := n.known(name, id)
	if err != nil {
		return nil, err
	}
	if !live(in) {
		return nil, fmt.Errorf("instance %d is %s: %w", id, in.Phase, spec.ErrNotRunning)
	}
	a := &attachment{node: n, key: keeper.Key{Name: name, Instance: id}}
	if err := a.attach(ctx, in.Spec.Spec.TTY); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// attachment is a session with an instance's own process.
type attachment struct {
	node    *Node
	key     keeper.Key
	process *keeper.Attached
	output  [2]*os.File // this side of the pipes
	close   sync.Once
	err     error
}

var _ spec.Session = (*attachment)(nil)

// attach makes the pipes and has the keeper copy into them. A terminal has one output.
func (a *attachment) attach(ctx context.Context, terminal bool) (err error) {
	var theirs [2]*os.File
	defer func() {
		for _, f := range theirs {
			if f != nil {
				f.Close()
			}
		}
	}()
	for i := range theirs {
		if i > 0 && terminal {
			break
		}
		if a.output[i], theirs[i], err = process.Pipe(0); err != nil {
			return err
		}
	}
	a.process, err = a.node.keeper.Attach(ctx, a.key, theirs[0], theirs[1])
	return err
}

// Stdin is the container's input; closing it is the end of this session's, not of the container's.
func (a *attachment) Stdin() io.WriteCloser {
	if a.process.Input == nil {
		return nil
	}
	return terminal{a.process.Input}
}

// Stdout is the output from now on.
func (a *attachment) Stdout() io.Reader { return reader(a.output[0]) }

// Stderr is the error output; nil with a terminal.
func (a *attachment) Stderr() io.Reader { return reader(a.output[1]) }

// Resize sets the size of the terminal.
func (a *attachment) Resize(size spec.TerminalSize) error {
	if !a.process.Terminal {
		return nil
	}
	return mount.Resize(a.process.Input, size)
}

// Signal sends a signal to the container's process 1.
func (a *attachment) Signal(ctx context.Context, signal string) error {
	return a.node.keeper.Kill(ctx, a.key, signal)
}

// Wait waits for the end of the process.
func (a *attachment) Wait(ctx context.Context) (spec.Exit, error) { return a.process.Wait(ctx) }

// Close ends the session; the container runs on.
func (a *attachment) Close() error {
	a.close.Do(func() {
		var errs []error
		if a.process != nil {
			errs = append(errs, a.process.Close())
			if a.process.Input != nil {
				errs = append(errs, a.process.Input.Close())
			}
		}
		for _, f := range a.output {
			if f != nil {
				errs = append(errs, f.Close())
			}
		}
		a.err = errors.Join(errs...)
	})
	return a.err
}
