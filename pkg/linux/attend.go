package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/hook"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// attendance is what this process does for a child on its way to its command, while the keeper starts it: hooks, and the handing over of
// its filter's listener.
type attendance struct {
	node      *Node
	container spec.Container // defaulted
	instance  uint64
	dir       string // the cgroup of the child, and of nobody else yet
	listener  seccomp.Listener
	doors     *start.Doors

	pid   int      // the container's first process, once it is at a door
	pidfd *os.File // of the child, if that is it
}

// attend adds to the plan of a start the doors at which something is to be done; nil when there are none. The caller closes it.
func (n *Node) attend(c spec.Container, id uint64, group *cgroup.Group, plan *start.Plan) (*attendance, error) {
	hooks, notifies := c.Spec.Hooks, plan.Attribute.Seccomp.Notifies()
	building := len(hooks.CreateRuntime)+len(hooks.CreateContainer) > 0
	if !building && !notifies && len(hooks.StartContainer) == 0 {
		return nil, nil
	}
	doors, err := start.NewDoors()
	if err != nil {
		return nil, err
	}
	a := &attendance{node: n, container: c, instance: id, dir: group.Path(), listener: plan.Attribute.Seccomp.Listener, doors: doors}
	plan.Steps.Entered = func(p *process.Program) {
		p.Park()
		doors.Add(p, "be in the cgroup", a.meet)
	}
	if building {
		plan.Mount.Stage = c.Spec.Rootfs.Path
		plan.Steps.Built = func(p *process.Program) { doors.Add(p, "build the root", a.createHooks) }
	}
	plan.Steps.Ready = func(p *process.Program, listener process.Slot) {
		if notifies {
			doors.Add(p, "hand over the seccomp listener", a.sendListener, listener)
		}
		if len(hooks.StartContainer) > 0 {
			doors.Add(p, "be ready", a.startHooks)
		}
	}
	return a, nil
}

// attendExec is attend for a further process, in a cgroup of its own.
func (n *Node) attendExec(in spec.Instance, dir string, plan *start.Exec) (*attendance, error) {
	filter := plan.Attribute.Seccomp
	if !filter.Notifies() {
		return nil, nil
	}
	doors, err := start.NewDoors()
	if err != nil {
		return nil, err
	}
	a := &attendance{node: n, container: in.Spec, instance: in.ID, dir: dir, listener: filter.Listener, doors: doors, pid: in.Pid}
	plan.Steps.Entered = func(p *process.Program) { p.Park() }
	plan.Steps.Ready = func(p *process.Program, listener process.Slot) {
		doors.Add(p, "hand over the seccomp listener", a.sendListener, listener)
	}
	return a, nil
}

// files are those that the child needs to wait for this process.
func (a *attendance) files() map[string]*os.File {
	if a == nil {
		return nil
	}
	return a.doors.Files()
}

// join adds to a request what the child needs to wait for this process.
func (a *attendance) join(r *keeper.StartRequest) {
	if a == nil {
		return
	}
	maps.Copy(r.Files, a.files())
	h := a.container.Spec.Hooks
	r.Once, r.Patience = true, hook.Timeout(h.CreateRuntime)+hook.Timeout(h.CreateContainer)+hook.Timeout(h.StartContainer)
}

// during attends to the child that do starts. When something cannot be done for it, it ends, and that is the error.
func (a *attendance) during(ctx context.Context, do func() error) error {
	if a == nil {
		return do()
	}
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() {
		err := a.doors.Attend(ctx)
		a.doors.Shut()
		failed <- err
	}()
	err := do()
	cancel()
	if why := <-failed; err != nil && why != nil && !errors.Is(why, context.Canceled) && !errors.Is(why, start.ErrEnded) {
		return why
	}
	return err
}

func (a *attendance) close() {
	if a == nil {
		return
	}
	a.doors.Close()
	if a.pidfd != nil {
		_ = a.pidfd.Close()
	}
}

// meet finds out who the container's first process is.
func (a *attendance) meet(context.Context, int) (err error) {
	pids, err := a.there()
	if err != nil {
		return err
	}
	if len(pids) != 1 {
		return fmt.Errorf("its cgroup holds processes %d, not one: %w", pids, unix.EBUSY)
	}
	a.pid = pids[0]
	a.pidfd, err = a.open(a.pid)
	return err
}

// there are the processes in the child's cgroup.
func (a *attendance) there() (pids []int, err error) {
	text, err := os.ReadFile(filepath.Join(a.dir, "cgroup.procs"))
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, err
}

// open opens a process of the child's cgroup; a stranger that has its number now is ESRCH.
func (a *attendance) open(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	pidfd := os.NewFile(uintptr(fd), fmt.Sprintf("pidfd:%d", pid))
	if still, err := a.there(); err != nil || !slices.Contains(still, pid) {
		return nil, errors.Join(err, unix.ESRCH, pidfd.Close())
	}
	return pidfd, nil
}

func (a *attendance) createHooks(ctx context.Context, _ int) error {
	state, err := a.state(hook.Creating)
	if err != nil {
		return err
	}
	h := a.container.Spec.Hooks
	if err := hook.Run(ctx, "createRuntime", h.CreateRuntime, state, hook.OnNode(a.bundle(), a.node.toolWay())); err != nil {
		return err
	}
	return hook.Run(ctx, "createContainer", h.CreateContainer, state, hook.Inside(a.pidfd, a.node.toolWay()))
}

// sendListener hands the filter's listener, which the child has as a descriptor of this number, to the program that decides.
func (a *attendance) sendListener(ctx context.Context, number int) error {
	pid, listener, err := a.take(number)
	if err != nil {
		return err
	}
	defer listener.Close()
	status := hook.Creating
	if a.pidfd == nil {
		status = hook.Running
	}
	state, err := a.state(status)
	if err != nil {
		return err
	}
	return seccomp.SendListener(ctx, a.listener, state, pid, listener)
}

// listenerLink is what a listener's link below /proc/PID/fd says.
const listenerLink = "anon_inode:seccomp notify"

// take takes the listener from the process that has it: a child that is confined has a starter in its cgroup.
func (a *attendance) take(number int) (pid int, listener *os.File, err error) {
	pids, err := a.there()
	if err != nil {
		return 0, nil, err
	}
	for _, pid := range pids {
		if link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, number)); err != nil || link != listenerLink {
			continue
		}
		pidfd, err := a.open(pid)
		if err != nil {
			return 0, nil, err
		}
		defer pidfd.Close()
		fd, err := unix.PidfdGetfd(int(pidfd.Fd()), number, 0)
		if err != nil {
			return 0, nil, os.NewSyscallError("pidfd_getfd", err)
		}
		return pid, os.NewFile(uintptr(fd), "seccomp listener"), nil
	}
	return 0, nil, fmt.Errorf("no process of the start has the filter's listener as descriptor %d: %w", number, fs.ErrNotExist)
}

// startHooks runs hooks in the container.
func (a *attendance) startHooks(ctx context.Context, _ int) error {
	state, err := a.state(hook.Created)
	if err != nil {
		return err
	}
	pidfd, err := a.open(a.pid)
	if err != nil {
		return err
	}
	target, err := start.OpenTarget(a.pid, pidfd)
	if err != nil {
		return errors.Join(err, pidfd.Close())
	}
	defer target.Close()
	return hook.Run(ctx, "startContainer", a.container.Spec.Hooks.StartContainer, state, a.inside(target))
}

// bundle is the directory that hooks are told of and run in.
func (a *attendance) bundle() string {
	return a.node.instanceDir(a.container.Metadata.Name, a.instance)
}

func (a *attendance) state(status hook.Status) ([]byte, error) {
	return subject(a.container, a.bundle(), a.pid).State(status)
}
