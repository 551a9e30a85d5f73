package linux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/hook"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// subject is what hooks are told of a container. Its bundle is the instance's directory, which holds no config.json.
func subject(c spec.Container, bundle string, pid int) hook.Subject {
	return hook.Subject{ID: c.Metadata.Name, Pid: pid, Bundle: bundle, Annotations: c.Metadata.Annotations}
}

// poststopFile holds, from before a start, the hooks that are to run after its end: they outlive the agent and the instance's record.
const poststopFile = "poststop.json"

// owedHooks are hooks that are to run.
type owedHooks struct {
	Hooks []spec.Hook     `json:"hooks"`
	State json.RawMessage `json:"state"`
}

// hooked starts a process between the poststop hooks of the last one and its own poststart hooks.
func (n *Node) hooked(ctx context.Context, c spec.Container, id uint64, start func() error) error {
	name, dir, hooks := c.Metadata.Name, n.instanceDir(c.Metadata.Name, id), c.Spec.Hooks
	if err := n.poststop(ctx, name, id); err != nil {
		return err
	}
	if len(hooks.Poststop) > 0 {
		state, err := subject(c, dir, 0).State(hook.Stopped)
		if err != nil {
			return err
		}
		if err := n.writeJSON(name, id, poststopFile, owedHooks{hooks.Poststop, state}); err != nil {
			return err
		}
	}
	if err := start(); err != nil || len(hooks.Poststart) == 0 {
		return err
	}
	in, err := n.observe(name, id)
	if err != nil {
		return err
	}
	state, err := subject(c, dir, in.Pid).State(hook.Running)
	if err != nil {
		return err
	}
	if err := hook.Run(ctx, "poststart", hooks.Poststart, state, hook.OnNode(dir, n.toolWay())); err != nil {
		n.cfg.Log.Error(err, "the container runs on", "name", name)
	}
	return nil
}

// toolWay has the keeper run the programs of hooks: what this process lacks as a hardened service is not theirs to lack.
func (n *Node) toolWay() hook.Way { return hook.Way{Begin: BeginTool, Run: n.RunTool} }

// BeginTool takes from a program for RunTool what the keeper has to be left alone and live longer than others.
func BeginTool(p *process.Program) {
	const score = "/proc/self/oom_score_adj"
	p.Call("set umask", "", unix.SYS_UMASK, process.Int(0o022))
	fd := p.CallFD("open", score, unix.SYS_OPENAT, process.Int(unix.AT_FDCWD), process.Str(score), process.Int(unix.O_WRONLY|unix.O_CLOEXEC), process.Int(0))
	p.Call("reset OOM score", score, unix.SYS_WRITE, fd, process.Data([]byte("0")), process.Int(1)).Accept = process.Accept(unix.EACCES)
}

// RunTool has the keeper run a program on the node until what it executes has ended. When ctx ends, that is killed with its process group. An exit
// code other than 0 is an error.
func (n *Node) RunTool(ctx context.Context, p *process.Program, files map[string]*os.File) error {
	tool, err := n.keeper.Run(ctx, *p, files)
	if err != nil {
		return err
	}
	exit, err := tool.Wait(ctx)
	return errors.Join(err, tool.Close(), exitError(exit))
}

// exitError is nil for a process that ended well.
func exitError(exit spec.Exit) error {
	switch {
	case exit.Signal != "":
		return errors.New(exit.Signal)
	case exit.Code != 0:
		return fmt.Errorf("exit status %d", exit.Code) // as other runtimes say
	}
	return nil
}

// poststop runs the hooks that an ended process has left to run. One that fails is told, and the others are not run.
func (n *Node) poststop(ctx context.Context, name string, id uint64) error {
	dir := n.instanceDir(name, id)
	var owed owedHooks
	switch err := n.readJSON(name, id, poststopFile, &owed); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		n.cfg.Log.Error(err, "no poststop hooks are run", "name", name)
	default:
		if err := hook.Run(ctx, "poststop", owed.Hooks, owed.State, hook.OnNode(dir, n.toolWay())); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			n.cfg.Log.Error(err, "the container is gone nevertheless", "name", name)
		}
	}
	return clear(filepath.Join(dir, poststopFile))
}

// inside runs hooks in the container, as further processes, so that the keeper is their parent. What they leave is killed and reaped there, even a
// child that they gave their parent (CLONE_PARENT of clone(2)): unreaped it would keep the container from ending.
func (a *attendance) inside(target *start.Target) hook.Runner {
	n, in := a.node, spec.Instance{Name: a.container.Metadata.Name, ID: a.instance, Spec: a.container, Pid: a.pid}
	return func(ctx context.Context, h spec.Hook, stdin, output *os.File) error {
		plan, err := hook.Plan(a.container, h, target, n.host)
		if err != nil {
			return err
		}
		done, err := n.join(ctx, in.Name, in.ID, target, &plan)
		if err != nil {
			return err
		}
		further, err := n.further(ctx, in, false, plan, target, map[string]*os.File{
			attribute.FileStdin: stdin, attribute.FileStdout: output, attribute.FileStderr: output,
		})
		done()
		if err != nil {
			return err
		}
		exit, err := further.Wait(ctx)
		return errors.Join(err, further.Close(), exitError(exit))
	}
}
