package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// checkExec runs a command; it succeeds with 0.
func checkExec(ctx context.Context, p spec.ExecProbe, exec Execer) error {
	code, output, err := exec(ctx, p.Command)
	switch {
	case err != nil:
		return err
	case code != 0 && firstLine(output) != "":
		return fmt.Errorf("exit code %d: %s", code, firstLine(output))
	case code != 0:
		return fmt.Errorf("exit code %d", code)
	}
	return nil
}

// Run is an Execer by sessions: begin starts the command, as reconcile.Node's Exec does. The session is closed in any case, which kills what is left.
func Run(ctx context.Context, command []string, begin func(context.Context, spec.Exec) (spec.Session, error)) (code int, output []byte, err error) {
	s, err := begin(ctx, spec.Exec{Command: command})
	if err != nil {
		return 0, nil, err
	}
	said := &head{}
	// Both streams end when the session is closed, if not before.
	var reading sync.WaitGroup
	for _, stream := range []io.Reader{s.Stdout(), s.Stderr()} {
		if stream != nil {
			reading.Go(func() { _, _ = io.Copy(said, stream) })
		}
	}
	exit, err := s.Wait(ctx)
	err = errors.Join(err, s.Close())
	reading.Wait()
	return exit.Code, said.text, err
}

// head keeps the beginning of what is written from several sides, and drops the rest.
type head struct {
	mu   sync.Mutex
	text []byte
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text = append(h.text, p[:min(len(p), MaxOutput-len(h.text))]...)
	return len(p), nil
}
