package attribute

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/process/tinyinit"
)

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

// closeFiles closes everything but stdio and the extra files; the file of an init, and that of a report, only as something is executed.
func closeFiles(p *process.Program, plan Plan) {
	flags := 0
	if plan.Init || plan.Report != "" {
		flags = unix.CLOSE_RANGE_CLOEXEC
	}
	p.Call("close descriptors", "", unix.SYS_CLOSE_RANGE, process.Int(plan.descriptors()), process.Int(^uint32(0)), process.Int(flags))
}

// reborn begins a new process, with a session of its own: until then it is in that of its parent, whom it could signal.
func reborn(p *process.Program, plan Plan) {
	p.Reborn()
	p.Call("make session", "", unix.SYS_SETSID)
	if plan.Stdio == StdioTerminal {
		controlling(p)
	}
}

// execute tries each path as execvp(3) does; the error of the last one is the start's, or EACCES of an earlier one. The
// keeper runs from a sealed copy of its binary, so a path that leads to /proc/self/exe, or a script that names it, finds
// nothing it could overwrite.
func execute(p *process.Program, plan Plan, files kept) {
	if plan.Init {
		tinyinit.Execute(p, files[FileInit], plan.Argv, plan.Env)
		return
	}
	argv, env := process.Strs(plan.Argv), process.Strs(plan.Env)
	if plan.Report != "" {
		executeOrReport(p, plan, files[plan.Report], argv, env)
		return
	}
	for _, path := range plan.Paths {
		op := p.Call("execute", path, unix.SYS_EXECVE, process.Str(path), argv, env)
		if len(plan.Paths) > 1 {
			op.Path = fmt.Sprintf("%s, looked for in %s", plan.Argv[0], strings.Join(plan.Paths, ", "))
			op.Accept = process.Accept(unix.ENOENT, unix.ENOTDIR, unix.EACCES)
		}
	}
}

// executeOrReport tries each path, whatever the errors, and writes what the kernel said to the report. That it is open meanwhile shows nobody
// anything: it is no directory to go through, and no program.
func executeOrReport(p *process.Program, plan Plan, report, argv, env process.Arg) {
	text, refs := make([]byte, 4*len(plan.Paths)), []process.Ref{}
	for i, path := range plan.Paths {
		op := p.Call("execute", path, unix.SYS_EXECVE, process.Str(path), argv, env)
		op.Out, op.Accept = p.Slot(), process.Errnos{^uint64(0), ^uint64(0)}
		refs = append(refs, process.Ref{At: 4 * i, Slot: op.Out})
	}
	p.Call("report", plan.Argv[0], unix.SYS_WRITE, report, process.Data(text, refs...), process.Int(len(text)))
}

// look adds the ops that tell, before it is executed, whether the command can be: a path that the user may execute.
func look(p *process.Program, plan Plan) {
	for i, path := range plan.Paths {
		op := p.Call("find", path, unix.SYS_FACCESSAT2, process.Int(unix.AT_FDCWD), process.Str(path), process.Int(unix.X_OK), process.Int(unix.AT_EACCESS))
		if op.Else = len(plan.Paths) - 1 - i; op.Else > 0 {
			op.Accept = process.Accept(unix.ENOENT, unix.ENOTDIR, unix.EACCES)
		}
	}
}
