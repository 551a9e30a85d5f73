package reconcile

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// sessionStart bounds how long a start may hold up the other verbs of its name.
const sessionStart = 20 * time.Second

// toldProgram is how much of a program's name an event tells.
const toldProgram = 64

// Exec starts a further process in the instance that runs. It holds up the passes of the name for as long as the start takes; the
// session is the caller's. ctx bounds the start. fs.ErrNotExist for an unknown name, spec.ErrNotRunning when nothing runs or what runs
// is paused, spec.ErrCommandNotFound and spec.ErrCommandNotExecutable when the fault is the command's, fs.ErrInvalid for an e that
// makes no sense.
func (a *Agent) Exec(ctx context.Context, name string, e spec.Exec) (spec.Session, error) {
	if err := e.Check(); err != nil {
		return nil, refuse(fs.ErrInvalid, "%v", err)
	}
	event := Event{Name: name, Reason: "Exec", Message: programName(e.Command[0])}
	return a.session(ctx, event, []spec.InstancePhase{spec.InstanceRunning}, func(ctx context.Context, id uint64) (spec.Session, error) {
		session, err := a.Node.Exec(ctx, name, id, e)
		return session, commandError(err)
	})
}

// Attach joins the input and output of the process that runs, or is paused. Otherwise it is as Exec.
func (a *Agent) Attach(ctx context.Context, name string) (spec.Session, error) {
	phases := []spec.InstancePhase{spec.InstanceRunning, spec.InstancePaused}
	return a.session(ctx, Event{Name: name, Reason: "Attached"}, phases, func(ctx context.Context, id uint64) (spec.Session, error) {
		return a.Node.Attach(ctx, name, id)
	})
}

// session begins a session in the turn of its name, with an instance that is in one of the phases, and tells of it.
func (a *Agent) session(ctx context.Context, event Event, phases []spec.InstancePhase, begin func(context.Context, uint64) (spec.Session, error)) (spec.Session, error) {
	if _, err := a.Object(event.Name); err != nil {
		return nil, err
	}
	n, err := a.enter(ctx, event.Name)
	if err != nil {
		return nil, err
	}
	defer n.leave()
	in, _, err := a.newest(ctx, n)
	if err != nil {
		return nil, err
	}
	if err := usable(event.Name, in, phases); err != nil {
		return nil, err
	}
	session, err := a.within(ctx, in.ID, begin)
	if err != nil {
		return nil, err
	}
	a.tell(event)
	return session, nil
}

// within begins a session in bounded time. Afterwards its context does not end: it belongs to the start alone, whatever a node makes of it.
func (a *Agent) within(ctx context.Context, id uint64, begin func(context.Context, uint64) (spec.Session, error)) (spec.Session, error) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	timer := time.AfterFunc(sessionStart, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	session, err := begin(ctx, id)
	if err != nil {
		cancel(err)
	}
	return session, err
}

// usable tells why there can be no session with an instance, and what helps.
func usable(name string, in spec.Instance, phases []spec.InstancePhase) error {
	switch {
	case slices.Contains(phases, in.Phase):
		return nil
	case in.Phase == spec.InstancePaused:
		return refuse(spec.ErrNotRunning, "container %q is paused\nhint: reconciler resume %s", name, name)
	default:
		return refuse(spec.ErrNotRunning, "container %q does not run\nhint: `reconciler describe %s` says why", name, name)
	}
}

// commandError gives the failure of a command its class. A node's error says with a method OfCommand whether it is one.
func commandError(err error) error {
	failed, ok := errors.AsType[interface {
		error
		OfCommand() bool
	}](err)
	switch {
	case !ok || !failed.OfCommand():
		return err
	case errors.Is(failed, fs.ErrNotExist):
		return refuse(spec.ErrCommandNotFound, "%v", err)
	default:
		return refuse(spec.ErrCommandNotExecutable, "%v", err)
	}
}

// programName is what an event tells of a command: arguments may hold secrets.
func programName(program string) string {
	base := strings.ToValidUTF8(path.Base(program), "?")
	if len(base) > toldProgram {
		base = strings.ToValidUTF8(base[:toldProgram], "") + "..."
	}
	return base
}
