package process

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Timeout is how long a start may take until it is given up and its child killed, so that a dead file
// system below a rootfs or a frozen cgroup cannot hold the starter's thread forever.
const Timeout = 30 * time.Second

// Process is a started process: a child of the caller, who reaps it.
type Process struct {
	Pid   int
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
	process, _, err := start(p, files, false, Timeout)
	return process, err
}

// Traced is Start with a record of what each op did. The trace is there whenever the child was made, even if the
// start then failed; otherwise it is nil.
func Traced(p *Program, files map[string]*os.File) (*Process, *Trace, error) {
	return start(p, files, true, Timeout)
}

func start(p *Program, files map[string]*os.File, traced bool, timeout time.Duration) (*Process, *Trace, error) {
	if err := p.Check(); err != nil {
		return nil, nil, err
	}
	fds, err := descriptors(p, files)
	if err != nil {
		return nil, nil, err
	}
	a := assemble(p, fds, traced)
	restore := keepDumpable()
	watch := startWatchdog(a.frame, timeout)
	begin := time.Now()
	pid := run(a.frame)
	elapsed := time.Since(begin)
	timedOut := watch.stop()
	restore()
	runtime.KeepAlive(files)

	if pid < 0 {
		return nil, nil, &Error{Step: "create process", Errno: unix.Errno(-pid), Op: -1}
	}
	process := &Process{Pid: pid, Pidfd: os.NewFile(uintptr(a.frame.pidfd), fmt.Sprintf("pidfd:%d", pid))}
	trace := a.trace(elapsed)
	failure := a.failure(timedOut)
	if failure == nil {
		return process, trace, nil
	}
	if exit := process.discard(); exit.Signal != 0 && a.frame.failed == 0 {
		failure.Signal = exit.Signal
		if !timedOut {
			failure.Errno = unix.EINTR
		}
	}
	return nil, trace, failure
}

// failure tells how a program ended once the kernel has let go of the starter: nil if it executed its command, for
// that call does not return. A child that did not is on its way out, though perhaps not a zombie yet.
func (a *assembly) failure(timedOut bool) *Error {
	index := a.index(a.frame.current)
	op, result := &a.program.Ops[index], a.result(index)
	failure := &Error{Step: op.Step, Path: op.Path, Op: index, Exec: executes(op.Nr)}
	switch {
	case a.frame.failed != 0:
		failure.Errno = unix.Errno(-result)
	case timedOut:
		failure.Errno = unix.ETIMEDOUT
	case result != notRun: // and no op after this one
		failure.Errno = a.noExec()
	case !executes(op.Nr):
		failure.Errno = unix.EINTR
	default:
		return nil
	}
	return failure
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

// discard kills and reaps a child that is of no use, and tells how it ended.
func (p *Process) discard() Exit {
	defer p.Pidfd.Close()
	_ = Signal(p.Pidfd, unix.SIGKILL)
	exit, _ := Reap(p.Pidfd) // ECHILD: somebody else has
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
