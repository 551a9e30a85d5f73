package attribute

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/process/tinyinit"
)

// stdio puts the container's own /dev/null and the two output files onto descriptors 0 to 2. A user other than root becomes
// owner of its output pipes, because opening /dev/stdout, as servers' log settings do, opens the pipe anew and asks for
// permission. What cannot change hands (a terminal of another's, a file system of another kind) stays as it is.
func stdio(p *process.Program, plan Plan) {
	stdin(p)
	for i, name := range []string{FileStdout, FileStderr} {
		fd := process.Int(syscall.Stdout + i)
		p.Call("set up stdio", name, unix.SYS_DUP3, p.File(name), fd, process.Int(0))
		if plan.UID != 0 {
			p.Call("give stdio to user", name, unix.SYS_FCHOWN, fd, process.Int(plan.UID), process.Int(-1)).
				Accept = process.Accept(unix.EPERM, unix.EROFS, unix.EINVAL, unix.EOPNOTSUPP)
		}
	}
}

// stdin opens /dev/null inside: the mode of the node's would be root's in the container to change. A manifest may have
// mounted something else there, so no link is followed, and O_NONBLOCK, taken back afterwards, keeps a FIFO from holding up the start.
func stdin(p *process.Program) {
	const step = "set up stdio"
	how := openHow(unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, unix.RESOLVE_NO_SYMLINKS)
	fd := p.CallFD(step, os.DevNull, unix.SYS_OPENAT2, process.Int(unix.AT_FDCWD), process.Str(os.DevNull), process.Data(how), process.Int(len(how)))
	p.Call(step, os.DevNull, unix.SYS_FCNTL, fd, process.Int(unix.F_SETFL), process.Int(0))
	p.Call(step, os.DevNull, unix.SYS_DUP3, fd, process.Int(syscall.Stdin), process.Int(0))
}

// setUser changes groups, group and user, real, effective, saved and file system ids alike.
func setUser(p *process.Program, plan Plan) {
	var groups []byte
	for _, g := range plan.Groups {
		groups = binary.NativeEndian.AppendUint32(groups, g)
	}
	gid, uid := process.Int(plan.GID), process.Int(plan.UID)
	p.Call("set additional groups", fmt.Sprint(plan.Groups), unix.SYS_SETGROUPS, process.Int(len(plan.Groups)), process.Data(groups))
	p.Call("set group", fmt.Sprint(plan.GID), unix.SYS_SETRESGID, gid, gid, gid)
	p.Call("set user", fmt.Sprint(plan.UID), unix.SYS_SETRESUID, uid, uid, uid)
}

// closeFiles closes everything but stdio; the file of an init only as it is executed, by descriptor.
func closeFiles(p *process.Program, plan Plan) {
	flags := 0
	if plan.Init {
		flags = unix.CLOSE_RANGE_CLOEXEC
	}
	p.Call("close descriptors", "", unix.SYS_CLOSE_RANGE, process.Int(3), process.Int(^uint32(0)), process.Int(flags))
}

// execute tries each path as execvp(3) does; the error of the last one is the start's, or EACCES of an earlier one. The
// keeper runs from a sealed copy of its binary, so a path that leads to /proc/self/exe, or a script that names it, finds
// nothing it could overwrite.
func execute(p *process.Program, plan Plan) {
	if plan.Init {
		tinyinit.Execute(p, FileInit, plan.Argv, plan.Env)
		return
	}
	argv, env := process.Strs(plan.Argv), process.Strs(plan.Env)
	for _, path := range plan.Paths {
		op := p.Call("execute", path, unix.SYS_EXECVE, process.Str(path), argv, env)
		if len(plan.Paths) > 1 {
			op.Path = fmt.Sprintf("%s, looked for in %s", plan.Argv[0], strings.Join(plan.Paths, ", "))
			op.Accept = process.Accept(unix.ENOENT, unix.ENOTDIR, unix.EACCES)
		}
	}
}

// prctl adds a prctl(2); the arguments it does not name are 0, as the newer options demand.
func prctl(p *process.Program, step string, option int, args ...uint64) *process.Op {
	all := []process.Arg{process.Int(option), process.Int(0), process.Int(0), process.Int(0), process.Int(0)}
	for i, a := range args {
		all[i+1] = process.Int(a)
	}
	return p.Call(step, "", unix.SYS_PRCTL, all...)
}
