package attribute

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// fileNull is the name by which errors call a standard input that was not given.
const fileNull = os.DevNull

// Stdio says what descriptors 0 to 2 are.
type Stdio uint8

// The kinds of stdio.
const (
	// StdioLog is the container's own /dev/null, FileStdout and FileStderr.
	StdioLog Stdio = iota
	// StdioInput is FileStdin, FileStdout and FileStderr.
	StdioInput
	// StdioTerminal is FileTerminal, three times; it becomes the terminal of the session.
	StdioTerminal
)

// names are the files of descriptors 0 to 2.
func (s Stdio) names() [3]string {
	switch s {
	case StdioTerminal:
		return [3]string{FileTerminal, FileTerminal, FileTerminal}
	case StdioInput:
		return [3]string{FileStdin, FileStdout, FileStderr}
	}
	return [3]string{fileNull, FileStdout, FileStderr}
}

// kept are files that the end of a start still needs, by name, moved out of the way.
type kept map[string]process.Arg

// keep moves the files of stdio, the extra files and an init to numbers above those that the container will find, in whose
// places the keeper, or an engine that handed them on, may have any of them: after it, the low numbers are free to be overwritten.
func keep(p *process.Program, plan Plan) kept {
	files := kept{}
	names := plan.Stdio.names()
	all := append(names[:], plan.ExtraFiles...)
	if plan.Init {
		all = append(all, FileInit)
	}
	if plan.Report != "" {
		all = append(all, plan.Report)
	}
	for _, name := range all {
		if _, done := files[name]; done || name == fileNull {
			continue
		}
		files[name] = p.CallFD("set up stdio", name, unix.SYS_FCNTL, p.File(name), process.Int(unix.F_DUPFD_CLOEXEC), process.Int(plan.descriptors()))
	}
	return files
}

// descriptors is how many the container finds, from 0 on.
func (plan Plan) descriptors() int { return syscall.Stderr + 1 + len(plan.ExtraFiles) }

// scratch is a number that nothing uses between keep and stdio.
const scratch = 0

// stdio puts the files onto their descriptors. A user other than root becomes owner of its pipes and terminal, because opening
// /dev/stdout, as servers' log settings do, opens the pipe anew and asks for permission. What cannot change hands (a
// terminal of another's, a file system of another kind) stays as it is. So does what cannot say how much there is to be read: an engine may hand on
// the node's /dev/null, which must not become the user's.
func stdio(p *process.Program, plan Plan, files kept) {
	const step = "set up stdio"
	owned := ""
	for i, name := range plan.Stdio.names() {
		fd := process.Int(i)
		if name == fileNull {
			stdin(p)
			continue
		}
		p.Call(step, name, unix.SYS_DUP3, files[name], fd, process.Int(0))
		if plan.Null[i] {
			null(p, fd)
			continue
		}
		if name == FileTerminal && i == syscall.Stdin && !plan.Reborn {
			controlling(p)
		}
		if plan.Owner != 0 && name != owned {
			owned = name
			asks := p.Call("look at stdio", name, unix.SYS_IOCTL, fd, process.Int(unix.TIOCINQ), process.Data(make([]byte, 4)))
			asks.Accept, asks.Skip = process.Accept(unix.ENOTTY, unix.EINVAL, unix.EBADF, unix.EIO, unix.EOPNOTSUPP), 1
			p.Call("give stdio to user", name, unix.SYS_FCHOWN, fd, process.Int(plan.Owner), process.Int(-1)).
				Accept = process.Accept(unix.EPERM, unix.EROFS, unix.EINVAL, unix.EOPNOTSUPP)
		}
	}
	for i, name := range plan.ExtraFiles {
		p.Call("hand on descriptor", name, unix.SYS_DUP3, files[name], process.Int(syscall.Stderr+1+i), process.Int(0))
	}
}

// controlling makes standard input the terminal of the session.
func controlling(p *process.Program) {
	p.Call("make it the session's terminal", FileTerminal, unix.SYS_IOCTL, process.Int(syscall.Stdin), process.Int(unix.TIOCSCTTY), process.Int(0))
}

// reopen puts the terminal, opened where the container sees it, in the place of the same one. It stays where that cannot be, for want of numbers, say.
func reopen(p *process.Program, plan Plan) {
	if plan.Reopen == "" || plan.Stdio != StdioTerminal {
		return
	}
	const step = "open terminal again"
	slot := p.Slot()
	opened := p.Openat2(step, plan.Reopen, process.Int(unix.AT_FDCWD), plan.Reopen, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, unix.RESOLVE_NO_SYMLINKS)
	opened.Out, opened.Accept, opened.Skip = slot, process.Accept(unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EACCES, unix.EPERM, unix.EMFILE, unix.ENXIO, unix.EIO), syscall.Stderr+2
	for fd := range syscall.Stderr + 1 {
		p.Call(step, plan.Reopen, unix.SYS_DUP3, process.In(slot), process.Int(fd), process.Int(0))
	}
	p.Call(step, plan.Reopen, unix.SYS_CLOSE, process.In(slot))
}

// stdin opens /dev/null inside: the mode of the node's would be root's in the container to change. A manifest may have
// mounted something else there, so no link is followed, and O_NONBLOCK, taken back afterwards, keeps a FIFO from holding up the start. A root
// without one, which base None allows, gives an empty file that stays so.
func stdin(p *process.Program) {
	const step = "set up stdio"
	slot := p.Slot()
	fd := process.In(slot)
	opened := p.Openat2(step, os.DevNull, process.Int(unix.AT_FDCWD), os.DevNull, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK, unix.RESOLVE_NO_SYMLINKS)
	opened.Out, opened.Accept, opened.Else = slot, process.Accept(unix.ENOENT), 2
	p.Call(step, "", unix.SYS_MEMFD_CREATE, process.Str("null"), process.Int(unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)).Out = slot
	p.Call(step, "", unix.SYS_FCNTL, fd, process.Int(unix.F_ADD_SEALS), process.Int(unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL))
	p.Call(step, os.DevNull, unix.SYS_FCNTL, fd, process.Int(unix.F_SETFL), process.Int(0))
	p.Call(step, os.DevNull, unix.SYS_DUP3, fd, process.Int(syscall.Stdin), process.Int(0))
}

// null puts the container's own null device in the place of another's. Without one, or where something else is there that cannot be opened, that stays.
func null(p *process.Program, fd process.Arg) {
	const step = "set up stdio"
	slot := p.Slot()
	opened := p.Openat2(step, os.DevNull, process.Int(unix.AT_FDCWD), os.DevNull, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, unix.RESOLVE_NO_SYMLINKS)
	opened.Out, opened.Skip, opened.Accept = slot, 2, process.Accept(unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.ENXIO, unix.EACCES, unix.EPERM)
	p.Call(step, os.DevNull, unix.SYS_FCNTL, process.In(slot), process.Int(unix.F_SETFL), process.Int(unix.O_RDWR))
	p.Call(step, os.DevNull, unix.SYS_DUP3, process.In(slot), fd, process.Int(0))
}
