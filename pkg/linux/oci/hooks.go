package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// hookKind is one list of hooks.
type hookKind struct {
	name  string
	hooks []specs.Hook
}

// kinds are all lists, in the order in which they are run.
func kinds(h *specs.Hooks) []hookKind {
	return []hookKind{
		//lint:ignore SA1019 deprecated, and still in use
		{"prestart", h.Prestart},
		{"createRuntime", h.CreateRuntime},
		{"createContainer", h.CreateContainer},
		{"startContainer", h.StartContainer},
		{"poststart", h.Poststart},
		{"poststop", h.Poststop},
	}
}

// ofCreate are the lists that create runs.
func ofCreate(h *specs.Hooks) []hookKind { return kinds(h)[:3] }

// hookRun is how the hooks of a list are run: the files are its stdin and its output, and nothing of what it leaves running is waited for.
type hookRun func(ctx context.Context, h specs.Hook, stdin, output *os.File) error

// runHooks runs a list, one after the other, until one fails. Each gets the state on its standard input; what a failing one said is in the error.
func runHooks(ctx context.Context, kind string, hooks []specs.Hook, state State, run hookRun) error {
	if len(hooks) == 0 {
		return nil
	}
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	for i, h := range hooks {
		if err := runHook(ctx, h, text, run); err != nil {
			return fmt.Errorf("error running %s hook #%d: %w", kind, i, err)
		}
	}
	return nil
}

func runHook(ctx context.Context, h specs.Hook, state []byte, run hookRun) error {
	if h.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(*h.Timeout)*time.Second, fmt.Errorf("hook ran past specified timeout of %ds", *h.Timeout))
		defer cancel()
	}
	stdin, err := memory0("state", state)
	if err != nil {
		return err
	}
	defer stdin.Close()
	output, err := memory0("output", nil)
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
	return fmt.Errorf("%s: %w, output: %q", h.Path, err, lastOf(output))
}

// memory0 is a file in memory, at its beginning. A pipe would have somebody wait for whatever a hook leaves running.
func memory0(name string, text []byte) (*os.File, error) {
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

// onNode runs a hook in the runtime's own namespaces, in a directory.
func onNode(dir string) hookRun {
	return func(ctx context.Context, h specs.Hook, stdin, output *os.File) error {
		cmd := exec.CommandContext(ctx, h.Path)
		if len(h.Args) > 0 {
			cmd.Args = h.Args
		}
		cmd.Env = append([]string{}, h.Env...) // nil would mean ours
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, output, output
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			cmd.Dir = dir
		}
		err := cmd.Run()
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			return errors.New(strings.TrimSpace(failed.String()))
		}
		return err
	}
}
