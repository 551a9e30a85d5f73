package spec

import (
	"context"
	"io"
)

// Session is a process that somebody talks to: one made by Exec, or a container's own by Attach. One that knows the number of the
// process on the node has a method Pid() int as well.
//
// Output must be taken, of both streams at once: the process waits for those who do not read.
type Session interface {
	// Stdin is where input goes; closing it is the end of the input, of a terminal and of Attach nothing. nil if the process has none.
	Stdin() io.WriteCloser
	// Stdout is the output, of a terminal all of it; Stderr is nil then. Both end with the process.
	Stdout() io.Reader
	Stderr() io.Reader
	// Resize sets the size of the terminal; without one it does nothing.
	Resize(size TerminalSize) error
	// Signal sends a signal by its name to the process. One that has ended is no error.
	Signal(ctx context.Context, signal string) error
	// Wait waits for the end of the process. Code is 128 plus the number of a signal.
	Wait(ctx context.Context) (Exit, error)
	// Close ends the session: what Exec has made is killed with all its children, what Attach has found runs on. After it
	// nothing of the session is left. It may be repeated.
	Close() error
}
