package hook

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/attribute/nofile"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Way is how the programs of hooks are made and run on the node: by this process, or by another for it.
type Way struct {
	// Begin is what a program begins with; nil for nothing.
	Begin func(p *process.Program)
	// Run runs a program until what it executes has ended, and ends it with its process group when ctx does. An exit code other than 0 is an error.
	Run func(ctx context.Context, p *process.Program, files map[string]*os.File) error
}

// Here has this process run hooks, as its children.
var Here = Way{Run: func(ctx context.Context, p *process.Program, files map[string]*os.File) error {
	child, err := process.StartParked(p, files)
	if err != nil {
		return err
	}
	return await(ctx, child)
}}

// OnNode runs hooks in the namespaces of who runs them, in a directory if it is there. At its timeout a hook's whole process group is killed, and
// the hook itself if it has moved to another.
func OnNode(dir string, way Way) Runner {
	return way.runner(nil, func(p *process.Program) {
		p.Call("enter directory", dir, unix.SYS_CHDIR, process.Str(dir)).Accept = process.Accept(unix.ENOENT, unix.ENOTDIR)
	})
}

// Inside runs hooks in the namespaces of a process whose root is still the node's: so is the path. They are programs of the node, and as
// privileged as who runs them. At its timeout a hook's whole process group is killed.
func Inside(target *os.File, way Way) Runner {
	return way.runner(map[string]*os.File{namespace.FileTarget: target}, namespace.Enter)
}

// runner runs hooks after the steps that lead to their place.
func (w Way) runner(files map[string]*os.File, lead func(p *process.Program)) Runner {
	return func(ctx context.Context, h spec.Hook, stdin, output *os.File) error {
		given := map[string]*os.File{attribute.FileStdin: stdin, attribute.FileStdout: output}
		maps.Copy(given, files)
		return w.Run(ctx, w.compose(h, lead), given)
	}
}

func (w Way) compose(h spec.Hook, lead func(p *process.Program)) *process.Program {
	p := &process.Program{}
	p.Park() // so that a path that hangs can be given up
	if w.Begin != nil {
		w.Begin(p)
	}
	lead(p)
	p.Call("lead a process group", "", unix.SYS_SETPGID, process.Int(0), process.Int(0))
	for fd, name := range []string{attribute.FileStdin, attribute.FileStdout, attribute.FileStdout} {
		p.Call("set up stdio", name, unix.SYS_DUP3, p.File(name), process.Int(fd), process.Int(0))
	}
	limit := binary.NativeEndian.AppendUint64(nil, nofile.Initial.Soft)
	limit = binary.NativeEndian.AppendUint64(limit, nofile.Initial.Hard)
	p.Call("set rlimit", "nofile", unix.SYS_PRLIMIT64, process.Int(0), process.Int(unix.RLIMIT_NOFILE), process.Data(limit), process.Int(0))
	p.Call("close descriptors", "", unix.SYS_CLOSE_RANGE, process.Int(3), process.Int(^uint32(0)), process.Int(unix.CLOSE_RANGE_CLOEXEC))
	p.Call("execute", h.Path, unix.SYS_EXECVE, process.Str(h.Path), process.Strs(h.Argv()), process.Strs(Environ(h.Env)))
	return p
}

// Environ is an environment as execve(2) takes it; never nil, which would mean ours.
func Environ(env map[string]string) []string {
	list := []string{}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// failure says how a hook ended that failed, as other runtimes do.
func failure(exit process.Exit) error {
	if exit.Signal == 0 {
		return fmt.Errorf("exit status %d", exit.Code)
	}
	return errors.New(exit.String())
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
		err = failure(exit)
	}
	return err
}
