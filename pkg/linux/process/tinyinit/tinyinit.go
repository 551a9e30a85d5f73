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
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

//go:generate go run generate.go

// Name is its first argument and its process name.
const Name = "init"

// Open makes a file of the program that nobody can change any more, in memory, so that the rootfs need not have it.
// One is enough for any number of containers. It is close-on-exec.
func Open() (*os.File, error) {
	fd, err := create(unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING | unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 there is no MFD_EXEC, and all are executable
		fd, err = create(unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make %s: %w", Name, err)
	}
	file := os.NewFile(uintptr(fd), Name)
	if err := fill(file, fd); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make %s: %w", Name, err), file.Close())
	}
	return file, nil
}

func create(flags int) (int, error) { return unix.MemfdCreate(Name, flags) }

func fill(file *os.File, fd int) error {
	if _, err := file.Write(image); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, 0o555); err != nil {
		return err
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	return err
}

// Execute appends the execution of the command under the program, which is the file of this name.
func Execute(p *process.Program, file string, command, env []string) *process.Op {
	argv, envp := process.Strs(slices.Concat([]string{Name}, command)), process.Strs(env)
	return p.Call("execute", Name, unix.SYS_EXECVEAT, p.File(file), process.Str(""), argv, envp, process.Int(unix.AT_EMPTY_PATH))
}
