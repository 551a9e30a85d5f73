package linux

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// session is a further process and this side of its input and output.
type session struct {
	further  *keeper.Exec
	stdio    *stdio
	detached bool
	close    sync.Once
	closeErr error
}

var _ spec.Session = (*session)(nil)

// Pid is the number of the process on the node.
func (s *session) Pid() int { return s.further.Pid }

// Stdin is where input goes; nil without.
func (s *session) Stdin() io.WriteCloser {
	switch f := s.stdio.ours[0]; {
	case f == nil:
		return nil
	case s.stdio.tty:
		return terminal{f}
	default:
		return f
	}
}

// Stdout is the output.
func (s *session) Stdout() io.Reader {
	if s.stdio.tty {
		return terminal{s.stdio.ours[0]}
	}
	return reader(s.stdio.ours[1])
}

// Stderr is the error output; nil with a terminal.
func (s *session) Stderr() io.Reader { return reader(s.stdio.ours[2]) }

// reader is f, or nothing: not an interface that holds a nil file.
func reader(f *os.File) io.Reader {
	if f == nil {
		return nil
	}
	return f
}

// Resize sets the size of the terminal.
func (s *session) Resize(size spec.TerminalSize) error {
	if !s.stdio.tty {
		return nil
	}
	return mount.Resize(s.stdio.ours[0], size)
}

// Signal sends a signal to the process.
func (s *session) Signal(_ context.Context, signal string) error { return s.further.Signal(signal) }

// Wait waits for the end of the process.
func (s *session) Wait(ctx context.Context) (spec.Exit, error) { return s.further.Wait(ctx) }

// Close ends the session, and the process unless it is detached.
func (s *session) Close() error {
	s.close.Do(func() { s.closeErr = errors.Join(s.further.Close(), s.stdio.close()) })
	return s.closeErr
}

// terminal is the master of a terminal. When nobody has the other end open any more reading says EIO, which is the end; closing is the
// session's.
type terminal struct{ *os.File }

func (t terminal) Read(p []byte) (int, error) {
	n, err := t.File.Read(p)
	if errors.Is(err, unix.EIO) {
		err = io.EOF
	}
	return n, err
}

func (t terminal) Close() error { return nil }
