package backendtest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// reach connects into instance 1 and hears that HTTP is spoken there.
func (s *suite) reach(name, address string) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.Patience)
	defer cancel()
	conn, err := s.Node.Dial(ctx, name, 1, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	cancel() // it bounds the opening alone
	if err := conn.SetDeadline(time.Now().Add(s.Patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	answer := make([]byte, 5)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/" {
		s.Errorf("%s answers %q, %v", address, answer, err)
	}
	return nil
}

// dial checks that who connects finds what listens in the container, and nobody when it does not run.
func (s *suite) dial() {
	wants := func(when, address string, want error) {
		s.Helper()
		if err := s.reach("web", address); !errors.Is(err, want) {
			s.Errorf("%s: connecting to %s gives %v, want %v", when, address, err, want)
		}
	}
	const there, nowhere = "127.0.0.1:8080", "127.0.0.1:8081"
	s.create(s.container("web", serving))
	wants("created", there, spec.ErrNotRunning)
	s.must(s.Node.Start(s.ctx, "web", 1))
	s.Heard(s.T, "web")
	wants("running", there, nil)
	wants("running", nowhere, syscall.ECONNREFUSED)
	for _, bad := range []string{"localhost:8080", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:0", strings.Repeat("1", 100_000)} {
		wants("running", bad, fs.ErrInvalid)
	}
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	if _, err := s.Node.Dial(ended, "web", 1, "tcp", there); !errors.Is(err, context.Canceled) {
		s.Errorf("connecting for nobody gives %v", err)
	}
	s.must(s.Node.Pause(s.ctx, "web", 1))
	wants("paused", there, spec.ErrNotRunning)
	s.must(s.Node.Resume(s.ctx, "web", 1))
	wants("resumed", there, nil)
	s.must(s.Node.Kill(s.ctx, "web", 1, "SIGKILL"))
	s.exit("web")
	wants("ended", there, spec.ErrNotRunning)
	s.must(s.Node.Start(s.ctx, "web", 1))
	if _, err := s.Node.Dial(s.ctx, "web", 2, "tcp", there); !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("connecting into an unknown instance gives %v", err)
	}
}
