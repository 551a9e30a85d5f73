package hook

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/attribute/nofile"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// OnNode runs hooks in this process's own namespaces, in a directory if it is there. At its timeout a hook's whole process group is killed, and
// the hook itself if it has moved to another.
func OnNode(dir string) Runner {
	return func(ctx context.Context, h spec.Hook, stdin, output *os.File) error {
		cmd := exec.CommandContext(ctx, h.Path)
		cmd.Args, cmd.Env = h.Argv(), Environ(h.Env)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, output, output
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error {
			_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
			return cmd.Process.Kill()
		}
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			cmd.Dir = dir
		}
		err := cmd.Run()
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			return errors.New(strings.TrimSpace(failed.String()))
		}
		return err
	}
}

// Environ is an environment as execve(2) takes it; never nil, which would mean ours.
func Environ(env map[string]string) []string {
	list := []string{}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// Inside runs hooks in the namespaces of a process whose root is still the node's: so is the path. They are programs of the node, and as
// privileged as this one. At its timeout a hook's whole process group is killed.
func Inside(target *os.File) Runner {
	return func(ctx context.Context, h spec.Hook, stdin, output *os.File) error {
		p := &process.Program{}
		p.Park() // so that a path that hangs can be given up
		namespace.Enter(p)
		p.Call("lead a process group", "", unix.SYS_SETPGID, process.Int(0), process.Int(0))
		for fd, name := range []string{attribute.FileStdin, attribute.FileStdout, attribute.FileStdout} {
			p.Call("set up stdio", name, unix.SYS_DUP3, p.File(name), process.Int(fd), process.Int(0))
		}
		limit := binary.NativeEndian.AppendUint64(nil, nofile.Initial.Soft)
		limit = binary.NativeEndian.AppendUint64(limit, nofile.Initial.Hard)
		p.Call("set rlimit", "nofile", unix.SYS_PRLIMIT64, process.Int(0), process.Int(unix.RLIMIT_NOFILE), process.Data(limit), process.Int(0))
		p.Call("close descriptors", "", unix.SYS_CLOSE_RANGE, process.Int(3), process.Int(^uint32(0)), process.Int(unix.CLOSE_RANGE_CLOEXEC))
		p.Call("execute", h.Path, unix.SYS_EXECVE, process.Str(h.Path), process.Strs(h.Argv()), process.Strs(Environ(h.Env)))
		child, err := process.StartParked(p, map[string]*os.File{namespace.FileTarget: target, attribute.FileStdin: stdin, attribute.FileStdout: output})
		if err != nil {
			return err
		}
		return await(ctx, child)
	}
}

// await waits until a parked child has executed its command and ended, and reaps it. An exit code other than 0 is an error. When the context ends first,
// the child is killed, and what is in its process group.
func await(ctx context.Context, child *process.Parked) error {
	defer child.Close()
	if err := child.Wait(ctx); err != nil {
		return errors.Join(err, child.Abandon())
	}
	defer child.Pidfd.Close()
	err := process.Ended(ctx, child.Pidfd)
	if err != nil {
		_ = unix.Kill(-child.Pid, unix.SIGKILL) // of a group that it leads, or nobody's: its number is its own until it is reaped
		_ = process.Signal(child.Pidfd, unix.SIGKILL)
	}
	exit, reaped := process.Reap(child.Pidfd)
	if err = errors.Join(err, reaped); err == nil && exit != (process.Exit{}) {
		err = errors.New(exit.String())
	}
	return err
}
