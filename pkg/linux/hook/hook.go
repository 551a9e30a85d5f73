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
	stdin, err := inMemory("state", state)
	if err != nil {
		return err
	}
	defer stdin.Close()
	output, err := inMemory("output", nil)
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

// inMemory is a file in memory, at its beginning. A pipe would have somebody wait for whatever a hook leaves running.
func inMemory(name string, text []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.WriteAt(text, 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// maxOutput is how much of a hook's output an error shows.
const maxOutput = 4 << 10

func lastOf(output *os.File) string {
	info, err := output.Stat()
	if err != nil {
		return ""
	}
	text := make([]byte, min(info.Size(), maxOutput))
	n, _ := output.ReadAt(text, info.Size()-int64(len(text)))
	return string(bytes.TrimSpace(text[:n]))
}
