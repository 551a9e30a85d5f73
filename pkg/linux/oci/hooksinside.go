package oci

import (
	"context"
	"encoding/binary"
	"errors"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/attribute/nofile"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// createHooks runs those of create, while the child has built its root and has not entered it.
func (m *making) createHooks(ctx context.Context) error {
	state := stateWith(m.rec, specs.StateCreating)
	for _, kind := range ofCreate(&m.t.Hooks) {
		run := onNode(m.rec.Bundle)
		if kind.name == "createContainer" {
			run = m.insideYet
		}
		if err := runHooks(ctx, kind.name, kind.hooks, state, run); err != nil {
			return err
		}
	}
	return nil
}

// startHooks runs those of the waiting child's start.
func (m *making) startHooks(ctx context.Context) error {
	return m.startContainer(ctx, m.rec, m.t)
}

// insideYet runs a hook in the namespaces of the child, whose root is still the node's: so is the path. It is one of the engine's programs, and
// as privileged as this.
func (m *making) insideYet(ctx context.Context, h specs.Hook, stdin, output *os.File) error {
	p := &process.Program{}
	namespace.Enter(p)
	for fd, name := range []string{attribute.FileStdin, attribute.FileStdout, attribute.FileStdout} {
		p.Call("set up stdio", name, unix.SYS_DUP3, p.File(name), process.Int(fd), process.Int(0))
	}
	limit := binary.NativeEndian.AppendUint64(nil, nofile.Initial.Soft)
	limit = binary.NativeEndian.AppendUint64(limit, nofile.Initial.Hard)
	p.Call("set rlimit", "nofile", unix.SYS_PRLIMIT64, process.Int(0), process.Int(unix.RLIMIT_NOFILE), process.Data(limit), process.Int(0))
	p.Call("close descriptors", "", unix.SYS_CLOSE_RANGE, process.Int(3), process.Int(^uint32(0)), process.Int(unix.CLOSE_RANGE_CLOEXEC))
	p.Call("execute", h.Path, unix.SYS_EXECVE, process.Str(h.Path), process.Strs(hookArgs(h)), process.Strs(h.Env))
	child, err := process.Start(p, map[string]*os.File{namespace.FileTarget: m.child.Pidfd, attribute.FileStdin: stdin, attribute.FileStdout: output})
	if err != nil {
		return err
	}
	return await(ctx, child)
}

func hookArgs(h specs.Hook) []string {
	if len(h.Args) == 0 {
		return []string{h.Path}
	}
	return h.Args
}

// startContainer runs a container's startContainer hooks: in the container, with what its own process has.
func (r *Runtime) startContainer(ctx context.Context, rec record, t Translation) error {
	return runHooks(ctx, "startContainer", t.Hooks.StartContainer, stateWith(rec, specs.StateCreated), func(ctx context.Context, h specs.Hook, stdin, output *os.File) error {
		x := &executing{Runtime: r, rec: rec, t: t}
		defer x.close()
		x.t.Container.Spec.TTY, x.t.Container.Spec.Stdin = false, true
		x.t.Container.Spec.Command = hookArgs(h)
		if err := x.prepare(); err != nil {
			return err
		}
		a := &x.plan.Attribute
		a.Paths, a.Env, a.ExtraFiles = []string{h.Path}, h.Env, nil
		if a.Seccomp.Notifies() { // who decides is told of the container's own process
			a.Seccomp.Filter, a.Seccomp.Flags = nil, 0
		}
		x.Stdio = [3]*os.File{stdin, output, output}
		if err := x.start(ctx); err != nil {
			return err
		}
		return await(ctx, &x.child.Process)
	})
}

// await waits for a process, which it kills when the context ends, and reaps it.
func await(ctx context.Context, child *process.Process) error {
	defer child.Pidfd.Close()
	stop := context.AfterFunc(ctx, func() { _ = process.Signal(child.Pidfd, unix.SIGKILL) })
	defer stop()
	exit, err := process.Reap(child.Pidfd)
	if err == nil && exit != (process.Exit{}) {
		err = errors.New(exit.String())
	}
	return err
}
