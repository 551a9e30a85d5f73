// Package tinyinit is the first process of a container with `init: true`: a static program of a thousand bytes
// that runs the command as its child, passes signals on to it, reaps orphans, and ends as the command ends. It
// refuses to know anything else: by the time it runs, the container is complete.
//
// Its argument vector is its own name and then the command. A command without a slash is looked for in PATH. All
// signals are blocked in it, so none is lost or fatal; those that the kernel sends to the whole foreground of a
// terminal are not passed on a second time. It exits with the command's exit code, with 128 plus the number of the
// signal that killed it, with 127 if there is no such command and with 126 if it cannot be executed, which it then
// says on stderr.
package tinyinit

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/process/sealed"
)

//go:generate go run ../assemble_elf.go init

// Name is its first argument and its process name.
const Name = "init"

// Open makes a file of the program that nobody can change any more, in memory, so that the rootfs need not have it.
// One is enough for any number of containers. It is close-on-exec.
func Open() (*os.File, error) { return sealed.File(Name, image) }

// Execute appends the execution of the command under the program, which is that file.
func Execute(p *process.Program, file process.Arg, command, env []string) *process.Op {
	argv, envp := process.Strs(slices.Concat([]string{Name}, command)), process.Strs(env)
	return p.Call("execute", Name, unix.SYS_EXECVEAT, file, process.Str(""), argv, envp, process.Int(unix.AT_EMPTY_PATH))
}
