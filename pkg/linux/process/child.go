package process

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// child is a process that is about to be made.
type child struct {
	program *Program
	files   map[string]*os.File
	fds     []int   // of the program's files
	more    []added // calls besides the program's
	during  func(pid int) error
	born    [2]*os.File // a pipe that the child writes to before all else; nil without during
}

func newChild(p *Program, files map[string]*os.File, during func(pid int) error) (*child, error) {
	fds, err := descriptors(p, files)
	if err != nil {
		return nil, err
	}
	c := &child{program: p, files: files, fds: fds, during: during}
	if during == nil {
		return c, nil
	}
	if c.born[0], c.born[1], err = os.Pipe(); err != nil {
		return nil, fmt.Errorf("cannot start: %w", err)
	}
	write := Op{Step: p.Ops[0].Step, Path: p.Ops[0].Path, Nr: unix.SYS_WRITE, Args: [6]Arg{{}, Str("\n"), Int(1)}}
	if write.Args[0], err = fileArg(c.born[1]); err != nil {
		c.close()
		return nil, err
	}
	c.more = []added{{op: write}}
	return c, nil
}

func (c *child) close() {
	for _, end := range c.born {
		if end != nil {
			_ = end.Close()
		}
	}
}

// outcome is a child that was made and has let go of the starter.
type outcome struct {
	process  *Process
	timedOut bool
	during   error
}

// spawn makes the child and returns when it has executed or ended. An error means that there never was one.
func (c *child) spawn(a *assembly, timeout time.Duration) (*outcome, error) {
	restore := keepDumpable()
	defer restore()
	watch := startWatchdog(a.frame, timeout)
	accompany := c.accompany(a, watch)
	pid, err := c.clone(a.frame)
	o := &outcome{during: accompany()}
	o.timedOut = watch.stop()
	runtime.KeepAlive(c.files)
	if err != nil {
		return nil, err
	}
	o.process = &Process{Pid: pid, Pidfd: os.NewFile(uintptr(a.frame.pidfd), fmt.Sprintf("pidfd:%d", pid))}
	return o, nil
}

// accompany calls during once the child is there. What it returns waits for that, when the child has let go.
func (c *child) accompany(a *assembly, watch *watchdog) (wait func() error) {
	if c.during == nil {
		return func() error { return nil }
	}
	result := make(chan error, 1)
	go func() {
		if n, _ := c.born[0].Read(make([]byte, 1)); n == 0 { // there is none, or it died at birth
			result <- nil
			return
		}
		err := c.during(int(atomic.LoadInt32(&a.frame.pid)))
		if err != nil {
			watch.kill()
		}
		result <- err
	}()
	return func() error {
		_ = c.born[1].Close()
		return <-result
	}
}

// clone makes the child and returns its pid, or an *Error.
func (c *child) clone(f *frame) (pid int, err error) {
	if name := c.program.PidNS; name != "" {
		ns := c.fds[slices.Index(c.program.Files, name)]
		pid, err = withPidNamespace(ns, c.files[name].Name(), func() int { return run(f) })
	} else {
		pid = run(f)
	}
	if err == nil && pid < 0 {
		err = &Error{Step: "create process", Errno: unix.Errno(-pid), Op: -1}
	}
	return pid, err
}

// settle ends a child that failed, or whose company did, and tells why.
func (o *outcome) settle(a *assembly, failure *Error) error {
	if failure == nil && o.during == nil {
		return nil
	}
	exit := o.process.discard()
	if failure != nil {
		failure.blame(exit, a.frame.failed != 0)
	}
	if o.during != nil && (failure == nil || failure.Errno == unix.EINTR && failure.Signal == unix.SIGKILL) {
		return o.during
	}
	return failure
}

// blame makes the signal that ended a child the reason, unless an op of its own was.
func (e *Error) blame(exit Exit, failed bool) {
	if exit.Signal == 0 || failed {
		return
	}
	e.Signal = exit.Signal
	if e.Errno != unix.ETIMEDOUT {
		e.Errno = unix.EINTR
	}
}

// finish reaps a child that has come to the end of its program.
func (o *outcome) finish(a *assembly) error {
	defer o.process.Pidfd.Close()
	exit, err := Reap(o.process.Pidfd)
	if err != nil || exit == (Exit{}) {
		return err
	}
	failure := a.at(a.frame.current)
	failure.Errno, failure.Signal = unix.EINTR, exit.Signal
	return failure
}

// discard kills and reaps a child that is of no use, and tells how it ended.
func (p *Process) discard() Exit {
	defer p.Pidfd.Close()
	_ = Signal(p.Pidfd, unix.SIGKILL)
	exit, _ := Reap(p.Pidfd) // ECHILD: somebody else has; ErrTraced: it is a zombie until its tracer ends
	return exit
}

// descriptors gives the number of each file of the program.
func descriptors(p *Program, files map[string]*os.File) ([]int, error) {
	fds := make([]int, len(p.Files))
	for i, name := range p.Files {
		file := files[name]
		if file == nil {
			return nil, fmt.Errorf("cannot start: no file %q among %q", name, slices.Sorted(maps.Keys(files)))
		}
		fd, err := number(file)
		if err != nil {
			return nil, fmt.Errorf("cannot start: file %q: %w", name, err)
		}
		fds[i] = fd
	}
	return fds, nil
}

// fileArg is the descriptor of a file of the starter's own.
func fileArg(file *os.File) (Arg, error) {
	fd, err := number(file)
	return Int(fd), err
}

// number is the descriptor of a file, without the change to blocking mode that os.File.Fd makes.
func number(file *os.File) (fd int, err error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return -1, err
	}
	if err := conn.Control(func(n uintptr) { fd = int(n) }); err != nil {
		return -1, err
	}
	return fd, nil
}
