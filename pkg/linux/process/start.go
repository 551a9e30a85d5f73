package process

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Timeout is how long a start may take until it is given up and its child killed, so that a dead file
// system below a rootfs or a frozen cgroup cannot hold the starter's thread forever.
const Timeout = 30 * time.Second

// Process is a started process: a child of the caller, who reaps it.
type Process struct {
	Pid   int      // as the starter sees it
	Pidfd *os.File // close-on-exec; owned by the caller
}

// Start runs the program in a new child and returns once that has executed its command. An error leaves
// neither child nor descriptor behind and is an *Error if the system refused, which tells the step. Files must hold a
// file for each name in p.Files, and stay open meanwhile. Any number of starts may run at the same time.
//
// The child shares the caller's memory until it executes and suspends only the calling thread (CLONE_VM|CLONE_VFORK;
// without CLONE_VFORK the OOM killer would hold the caller to the child's memory limit). Handled signals are reset to
// their default, ignored ones stay ignored; whatever else is to be reset is the program's business.
func Start(p *Program, files map[string]*os.File) (*Process, error) {
	process, _, err := start(p, files, manner{timeout: Timeout})
	return process, err
}

// Run runs a program that executes nothing: its child ends with its last op and is reaped, all within Timeout. It is the
// way to do something in other namespaces, which a thread of this process could not leave again.
func Run(p *Program, files map[string]*os.File) error { return RunWith(p, files, nil) }

// RunWith is Run with something that another thread does during it, such as to write the id maps of a new user
// namespace. It is called with the child's pid before the first op, and its error kills the child. A program waits for it
// with a read from a pipe (of unix.Pipe2: what os.Pipe makes does not block); that holds the starter's thread as well,
// for Timeout at most. The start waits for it to return.
func RunWith(p *Program, files map[string]*os.File, during func(pid int) error) error {
	_, _, err := start(p, files, manner{timeout: Timeout, during: during, ends: true})
	return err
}

// manner is how a program is to be run.
type manner struct {
	timeout time.Duration
	during  func(pid int) error // nil for nothing
	ends    bool                // it executes nothing
}

func (m *manner) check(p *Program) error {
	if err := p.Check(); err != nil {
		return err
	}
	for i := range p.Ops {
		switch nr := p.Ops[i].Nr; {
		case nr == parks:
			return fmt.Errorf("bad program: op %d (%s): only StartParked can park", i, p.Ops[i].Step)
		case m.ends && executes(nr):
			return fmt.Errorf("bad program: op %d (%s): Run executes nothing", i, p.Ops[i].Step)
		}
	}
	return nil
}

// start gives the assembly as well, from which one sees what the ops did.
func start(p *Program, files map[string]*os.File, m manner) (*Process, *assembly, error) {
	if err := m.check(p); err != nil {
		return nil, nil, err
	}
	c, err := newChild(p, files, m.during)
	if err != nil {
		return nil, nil, err
	}
	defer c.close()
	l := measure(p, c.more)
	a := assemble(p, c.fds, c.more, l, make([]uint64, l.total()))
	o, err := c.spawn(a, m.timeout)
	if err != nil {
		return nil, nil, err
	}
	if err := o.settle(a, a.failure(o.timedOut, m.ends)); err != nil {
		return nil, a, err
	}
	if m.ends {
		return nil, a, o.finish(a)
	}
	return o.process, a, nil
}

// failure tells how a program ended once the kernel has let go of the starter: nil if it executed its command, for
// that call does not return, or if it came to the end that it should. A child that did not is on its way out, though perhaps
// not a zombie yet.
func (a *assembly) failure(timedOut, ends bool) *Error {
	failure := a.at(a.frame.current)
	switch {
	case a.frame.failed != 0:
		failure.Errno = unix.Errno(-a.records[a.record(a.frame.failed)].result)
	case timedOut:
		failure.Errno = unix.ETIMEDOUT
	case a.result(failure.Op) != notRun && ends:
		return nil
	case a.result(failure.Op) != notRun: // and no op after this one
		failure.Errno = a.noExec()
	case !executes(a.program.Ops[failure.Op].Nr):
		failure.Errno = unix.EINTR
	default:
		return nil
	}
	return failure
}

// at is the error of a record, yet without its reason.
func (a *assembly) at(record uintptr) *Error {
	i := a.index(record)
	op := &a.program.Ops[i]
	return &Error{Step: op.Step, Path: op.Path, Op: i, Exec: executes(op.Nr) && i != a.park, Birth: op.Nr == reborn}
}

// noExec is the errno of a program whose every command was refused, as execvp(3) has it: one that exists but may
// not be executed is worth more than those that do not exist.
func (a *assembly) noExec() unix.Errno {
	for i, op := range a.program.Ops {
		if executes(op.Nr) && a.result(i) == -int64(unix.EACCES) {
			return unix.EACCES
		}
	}
	return unix.ENOENT
}

func executes(nr uint32) bool { return nr == unix.SYS_EXECVE || nr == unix.SYS_EXECVEAT }
