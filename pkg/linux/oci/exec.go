package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/hook"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/linux/statefile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ExecOptions are how a further process is started, beside what its words say.
type ExecOptions struct {
	Stdio                               [3]*os.File
	ConsoleSocket, PidFile, PidfdSocket string
	// ExtraFiles are descriptors 3 and on. They stay the caller's, as Stdio does.
	ExtraFiles []*os.File
	// Cgroup is a cgroup below the container's, "" for its own.
	Cgroup string
	// IgnorePaused starts it in a container that is paused, where it then waits.
	IgnorePaused bool
	// Detach tells that the caller will not stay: somebody else is to get the terminal, if there is one.
	Detach bool
}

// Exec starts a further process in a container. What edit makes of the container's own process, of which it gets a copy, is what is started.
// The caller reaps the process; with a terminal and no console socket it also gets the master.
func (r *Runtime) Exec(ctx context.Context, id string, edit func(*specs.Process) error, o ExecOptions) (*process.Process, *os.File, error) {
	rec, err := r.read(id)
	if err != nil {
		return nil, nil, err
	}
	switch status, err := r.status(rec); {
	case err != nil:
		return nil, nil, err
	case status == specs.StateStopped:
		return nil, nil, fmt.Errorf("cannot exec in a stopped container%w", hidden{ErrNotRunning})
	case status == StatePaused && !o.IgnorePaused:
		return nil, nil, fmt.Errorf("cannot exec in a paused container (use --ignore-paused to override)%w", hidden{ErrPaused})
	}
	x := &executing{Runtime: r, ExecOptions: o, rec: rec}
	defer x.close()
	if err := x.translate(edit); err != nil {
		return nil, nil, err
	}
	if err := x.prepare(); err != nil {
		return nil, nil, err
	}
	if err := x.start(ctx); err != nil {
		return nil, nil, x.abandon(readable(err, x.plan.Attribute.Argv))
	}
	if err := x.tell(); err != nil {
		return nil, nil, x.abandon(err)
	}
	child, master := x.child.Process, x.master
	x.master = nil
	return &child, master, nil
}

// executing is a further process that is being started.
type executing struct {
	*Runtime
	ExecOptions
	rec record
	t   Translation

	host   *start.Host
	target *start.Target
	group  *cgroup.Group
	plan   start.Exec
	files  map[string]*os.File
	doors  *start.Doors
	// The ends of its terminal.
	master, slave *os.File
	child         *process.Parked
}

// translate reads the container's own process, has it edited, and puts it into words.
func (x *executing) translate(edit func(*specs.Process) error) error {
	config, err := x.config(x.rec)
	if err != nil {
		return err
	}
	if x.t, err = Translate(config, x.rec.Bundle); err != nil {
		return err
	}
	config.Process.Terminal, config.Process.ConsoleSize = false, nil
	if err := edit(config.Process); err != nil {
		return err
	}
	if at := start.FindNUL(config.Process); at != "" {
		return invalid("the text %q holds a NUL", at)
	}
	if x.t, err = TranslateProcess(x.t, config.Process); err != nil {
		return fmt.Errorf("cannot use the process: %w", err)
	}
	x.warn(x.t.Warnings)
	return handed(x.t.Container.Spec.TTY, x.Detach, x.ConsoleSocket)
}

// prepare opens the container's first process and plans the start.
func (x *executing) prepare() (err error) {
	if x.host, err = openHost(); err != nil {
		return err
	}
	if x.target, err = x.rec.target(); err != nil {
		return err
	}
	c, said := x.further(x.rec, x.t), x.t.Container.Spec
	x.plan, err = start.NewExec(c, spec.Exec{Command: said.Command, TTY: said.TTY, Stdin: said.Stdin, Env: c.Spec.Env}, x.target.Root, x.target.IDs, x.host)
	if err != nil {
		return err
	}
	return x.plan.Shield(x.target)
}

// start composes the program and runs it.
func (x *executing) start(ctx context.Context) (err error) {
	p := &process.Program{}
	if x.doors, err = start.NewDoors(); err != nil {
		return err
	}
	if err := x.enter(); err != nil {
		return err
	}
	all := x.host.Lend(x.files)
	maps.Copy(all, x.target.Files(x.plan))
	x.attributes(all)
	if err := x.console(all); err != nil {
		return err
	}
	x.compose(p)
	maps.Copy(all, x.doors.Files())
	if x.child, err = process.StartParked(p, all); err != nil {
		return err
	}
	x.doors.HandOver()
	if err := x.doors.Attend(ctx); err != nil && !errors.Is(err, start.ErrEnded) {
		return err
	}
	return x.child.Wait(ctx)
}

// abandon ends the process, if there is one, because of an error.
func (x *executing) abandon(why error) error {
	if x.child == nil {
		return why
	}
	return errors.Join(why, x.child.Abandon())
}

// compose writes the program: it parks before it is in the container, so that no file of the runtime's is what it executes.
func (x *executing) compose(p *process.Program) {
	filter := x.plan.Attribute.Seccomp
	x.plan.Steps.Entered = func(p *process.Program) { p.Park() }
	if filter.Notifies() {
		x.plan.Steps.Ready = func(p *process.Program, listener process.Slot) {
			x.doors.Add(p, "hand over the seccomp listener", func(ctx context.Context, number int) error {
				return sendListener(ctx, x.child, number, filter.Listener, x.rec, hook.Running)
			}, listener)
		}
	}
	x.plan.Compose(p, x.files)
}

// enter opens the cgroup: the container's, one below it, or where the container's first process has gone.
func (x *executing) enter() (err error) {
	rec := x.rec
	switch sub := x.ExecOptions.Cgroup; {
	case sub != "":
		rec.Cgroup = path.Join(rec.Cgroup, path.Join("/", sub)) // .. does not lead out
	default:
		rec.Cgroup = x.inner()
	}
	if x.group, err = x.Runtime.group(rec); err != nil {
		return err
	}
	x.files, err = x.group.Files()
	return err
}

// inner is the cgroup that the first process is in by now, if that is below the container's: one that made cgroups of its own, and hands
// controllers down, has left none that a process could enter (cgroup-v2.rst, No Internal Process Constraint).
func (x *executing) inner() string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", x.rec.Pid))
	if err != nil {
		return x.rec.Cgroup
	}
	for line := range strings.Lines(string(text)) {
		dir, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::/")
		if tree, err := x.tree(); ok && err == nil && len(tree.V1) == 0 && strings.HasPrefix(dir, x.rec.Cgroup+"/") && fs.ValidPath(dir) {
			return dir
		}
	}
	return x.rec.Cgroup
}

// attributes are the files of stdio, and those from descriptor 3 on.
func (x *executing) attributes(all map[string]*os.File) {
	for i, name := range []string{attribute.FileStdin, attribute.FileStdout, attribute.FileStderr} {
		if x.Stdio[i] != nil {
			all[name] = x.Stdio[i]
		}
	}
	for i, f := range x.ExtraFiles {
		x.plan.Attribute.ExtraFiles = append(x.plan.Attribute.ExtraFiles, extraName(i))
		all[extraName(i)] = f
	}
}

// console opens a terminal of the container's own.
func (x *executing) console(all map[string]*os.File) (err error) {
	if x.plan.Attribute.Stdio != attribute.StdioTerminal {
		return nil
	}
	master, slave, err := mount.OpenTerminal(x.target.Root, x.t.ConsoleSize)
	if err != nil {
		return err
	}
	x.slave = slave
	all[attribute.FileTerminal] = slave
	if x.ConsoleSocket == "" {
		x.master = master
		return nil
	}
	defer master.Close()
	return sendFile(x.ConsoleSocket, master, terminalName)
}

// tell says what the process is to those who asked.
func (x *executing) tell() error {
	if x.PidfdSocket != "" {
		if err := sendFile(x.PidfdSocket, x.child.Pidfd, "pidfd"); err != nil {
			return err
		}
	}
	if x.PidFile != "" {
		if err := statefile.Replace(x.PidFile, fmt.Append(nil, x.child.Pid), 0o644, false); err != nil {
			return fmt.Errorf("cannot write the pid file: %w", err)
		}
	}
	return nil
}

func (x *executing) close() {
	x.doors.Close()
	for _, f := range x.files {
		_ = f.Close()
	}
	x.target.Close()
	_ = x.host.Close()
	if x.group != nil {
		_ = x.group.Close()
	}
	if x.child != nil {
		_ = x.child.Close()
	}
	for _, f := range []*os.File{x.master, x.slave} {
		if f != nil {
			_ = f.Close()
		}
	}
}
