package apitest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Exec starts a command on this machine, in place of a container. What it says of user, capabilities and directory is not heeded.
func (a *Agent) Exec(_ context.Context, name string, e spec.Exec) (spec.Session, error) {
	if err := a.usable(name, spec.PhaseRunning); err != nil {
		return nil, err
	}
	if err := e.Check(); err != nil {
		return nil, &api.Error{Reason: api.ReasonInvalid, Message: err.Error()}
	}
	session, err := start(e)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions = append(a.sessions, session)
	return session, nil
}

// usable refuses a container that is not in a phase.
func (a *Agent) usable(name string, phase spec.Phase) error {
	o, err := a.Object(name)
	if err != nil {
		return err
	}
	if o.Status.Phase != phase {
		return fmt.Errorf("container %q is not %s: %w\nhint: reconciler resume %s", name, phase, spec.ErrNotRunning, name)
	}
	return nil
}

// Sessions are all that Exec has started, oldest first.
func (a *Agent) Sessions() []*Session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]*Session{}, a.sessions...)
}

// Session is a process on this machine, a spec.Session.
type Session struct {
	cmd      *exec.Cmd
	detached bool
	stdin    *os.File // nil for none; with a terminal, stdin and stdout are one
	stdout   *os.File
	stderr   *os.File
	done     chan struct{} // closed when it has ended
	once     sync.Once
}

// start starts a process, the leader of a group of its own.
func start(e spec.Exec) (s *Session, err error) {
	s = &Session{cmd: exec.Command(e.Command[0], e.Command[1:]...), detached: e.Detach, done: make(chan struct{})}
	s.cmd.Env = os.Environ()
	for name, value := range e.Env {
		s.cmd.Env = append(s.cmd.Env, name+"="+value)
	}
	theirs, err := s.streams(e)
	if err == nil {
		err = s.cmd.Start()
	}
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		s.closeStreams()
		return nil, startError(err)
	}
	go s.await()
	return s, nil
}

// await takes the process to its end, and with it what it has left in its group: as long as it is not reaped, the group's number is its own.
func (s *Session) await() {
	for unix.Waitid(unix.P_PID, s.Pid(), nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	if !s.detached {
		_ = unix.Kill(-s.Pid(), unix.SIGKILL)
	}
	_ = s.cmd.Wait()
	close(s.done)
}

func startError(err error) error {
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %v", spec.ErrCommandNotFound, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf("%w: %v", spec.ErrCommandNotExecutable, err)
	}
	return err
}

// streams opens terminal or pipes, and returns the process's ends.
func (s *Session) streams(e spec.Exec) (theirs []*os.File, err error) {
	s.cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	switch {
	case e.Detach:
		return nil, nil
	case e.TTY:
		master, slave, err := Pty()
		if err != nil {
			return nil, err
		}
		s.stdin, s.stdout = master, master
		s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
		s.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
		return []*os.File{slave}, s.Resize(e.Size)
	}
	pipe := func() (r, w *os.File) {
		if err == nil {
			r, w, err = os.Pipe()
		}
		return r, w
	}
	var out, errOut *os.File
	s.stdout, out = pipe()
	s.stderr, errOut = pipe()
	theirs = append(theirs, out, errOut)
	s.cmd.Stdout, s.cmd.Stderr = out, errOut
	if e.Stdin {
		in, w := pipe()
		s.cmd.Stdin, s.stdin = in, w
		theirs = append(theirs, in)
	}
	return theirs, err
}

// Pty makes a terminal.
func Pty() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open /dev/ptmx: %w", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		master.Close()
		return nil, nil, err
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		master.Close()
		return nil, nil, errno
	}
	return master, os.NewFile(peer, "pts"), nil
}

// Pid is the number of the process.
func (s *Session) Pid() int { return s.cmd.Process.Pid }

// Stdin is a pipe or the terminal.
func (s *Session) Stdin() io.WriteCloser {
	switch {
	case s.stdin == nil:
		return nil
	case s.stderr == nil:
		return terminal{s.stdin}
	}
	return s.stdin
}

// terminal is input whose end is nothing, as that of a terminal.
type terminal struct{ io.Writer }

func (terminal) Close() error { return nil }

// Stdout is a pipe or the terminal.
func (s *Session) Stdout() io.Reader { return reader(s.stdout) }

// Stderr is a pipe.
func (s *Session) Stderr() io.Reader { return reader(s.stderr) }

func reader(f *os.File) io.Reader {
	if f == nil {
		return nil
	}
	return f
}

// Resize sets the size of the terminal.
func (s *Session) Resize(size spec.TerminalSize) error {
	if s.stdout == nil || s.stderr != nil {
		return nil
	}
	raw, err := s.stdout.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := raw.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Columns})
	})
	return errors.Join(err, ctlErr)
}

// Signal signals the process.
func (s *Session) Signal(_ context.Context, signal string) error {
	select {
	case <-s.done:
		return nil
	default:
		return s.cmd.Process.Signal(unix.Signal(spec.Signals[signal]))
	}
}

// Wait waits for the end of the process.
func (s *Session) Wait(ctx context.Context) (spec.Exit, error) {
	select {
	case <-ctx.Done():
		return spec.Exit{}, ctx.Err()
	case <-s.done:
	}
	status := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	exit := spec.Exit{Code: status.ExitStatus(), Reason: spec.ExitCompleted, Pid: s.Pid(), FinishedAt: time.Now()}
	if status.Signaled() {
		exit.Code, exit.Signal = 128+int(status.Signal()), unix.SignalName(status.Signal())
	}
	if exit.Code != 0 {
		exit.Reason = spec.ExitError
	}
	return exit, nil
}

// Ended is closed when the process has ended.
func (s *Session) Ended() <-chan struct{} { return s.done }

// Close kills the process and its group, unless it is detached.
func (s *Session) Close() error {
	s.once.Do(func() {
		if !s.detached {
			_ = s.cmd.Process.Kill()
			<-s.done
		}
		s.closeStreams()
	})
	return nil
}

func (s *Session) closeStreams() {
	for _, f := range []*os.File{s.stdin, s.stdout, s.stderr} {
		if f != nil {
			f.Close()
		}
	}
}
