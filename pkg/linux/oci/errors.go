package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// commandError says that a command cannot be executed, in the words that engines look for.
type commandError struct {
	command string
	errno   unix.Errno
}

func (e *commandError) Error() string {
	bare := !strings.Contains(e.command, "/")
	switch {
	case bare && (e.errno == unix.ENOENT || e.errno == unix.ENOTDIR):
		return fmt.Sprintf("exec: %q: executable file not found in $PATH", e.command)
	case e.errno == unix.ENOENT || e.errno == unix.ENOTDIR:
		return fmt.Sprintf("exec: %q: stat %s: %v", e.command, e.command, e.errno)
	}
	return fmt.Sprintf("exec: %q: %v", e.command, e.errno)
}

func (e *commandError) Unwrap() error { return e.errno }

// readable puts the failure of a start into such words, where it is one of the command.
func readable(err error, argv []string) error {
	failure, ok := errors.AsType[*process.Error](err)
	if !ok || !(failure.Exec || failure.Step == "find") || failure.Signal != 0 || len(argv) == 0 {
		return err
	}
	return fmt.Errorf("unable to start container process: %w", &commandError{argv[0], failure.Errno})
}

// reported are the errnos of a report, which is the command's error: the first that says more than that there is no such file.
func reported(text []byte, command string) error {
	errno := unix.ENOENT
	for i := 0; i+4 <= len(text); i += 4 {
		e := unix.Errno(-int32(uint32(text[i]) | uint32(text[i+1])<<8 | uint32(text[i+2])<<16 | uint32(text[i+3])<<24))
		if e != unix.ENOENT && e != unix.ENOTDIR {
			errno = e
			break
		}
	}
	return fmt.Errorf("unable to start container process: %w", &commandError{command, errno})
}

// gone is nil for what is not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
