// Package hook runs programs at points of a container's life, as the runtime-spec of the OCI has them.
package hook

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Runner runs one hook: the files are its standard input and its output. Nothing of what it leaves running is waited for.
type Runner func(ctx context.Context, h spec.Hook, stdin, output *os.File) error

// Run runs a list of hooks, one after the other, until one fails. Each gets the state on its standard input. The error names the list, the
// hook's number in it and its path, and holds the last of what it wrote.
func Run(ctx context.Context, list string, hooks []spec.Hook, state []byte, run Runner) error {
	for i, h := range hooks {
		if err := runOne(ctx, h, state, run); err != nil {
			return fmt.Errorf("error running %s hook #%d: %s: %w", list, i, h.Path, err)
		}
	}
	return nil
}

// Timeout is how long a list may last.
func Timeout(hooks []spec.Hook) (sum time.Duration) {
	for _, h := range hooks {
		sum += timeout(h)
	}
	return sum
}

func timeout(h spec.Hook) time.Duration {
	return time.Duration(cmp.Or(h.Timeout, spec.DefaultHookTimeout))
}

func runOne(ctx context.Context, h spec.Hook, state []byte, run Runner) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout(h), fmt.Errorf("hook ran past specified timeout of %v", timeout(h)))
	defer cancel()
	stdin, err := inMemory("state", state, len(state))
	if err != nil {
		return err
	}
	defer stdin.Close()
	output, err := inMemory("output", nil, maxWritten)
	if err != nil {
		return err
	}
	defer output.Close()
	err = run(ctx, h, stdin, output)
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%w, output: %q", err, lastOf(output))
}

// inMemory is a file of a size in memory, at its beginning. A pipe would have somebody wait for whatever a hook leaves running. It keeps its size, whoever writes to
// it: a write beyond that is EPERM, see F_SEAL_GROW in F_ADD_SEALS(2const).
func inMemory(name string, text []byte, size int) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err = f.Truncate(int64(size)); err == nil {
		_, err = f.WriteAt(text, 0)
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// A hook, and what it leaves running, can write maxWritten bytes, of which an error shows the last maxOutput.
const (
	maxWritten = 1 << 20
	maxOutput  = 4 << 10
)

// lastOf is the end of what was written to a file that began as zeros.
func lastOf(output *os.File) string {
	text := make([]byte, maxWritten)
	n, _ := output.ReadAt(text, 0)
	text = bytes.TrimRight(text[:n], "\x00")
	return string(bytes.TrimSpace(text[max(0, len(text)-maxOutput):]))
}
