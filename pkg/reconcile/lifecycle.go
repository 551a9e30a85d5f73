package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/probe"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// notePostStart writes down that a run which has just begun has something to be done after its start. One from an image has done it.
func notePostStart(r *record.Record, in spec.Instance) {
	r.PostStart = record.PostStart{}
	if in.Spec.Spec.Lifecycle.PostStart != nil && r.Origin.Image == "" {
		r.PostStart.Restart = runOf(in)
	}
}

// startPending tells whether something has still to be done after the start of an instance's run. What no manifest says any more has not.
func (w *world) startPending(in spec.Instance) bool {
	return w.wanted.Spec.Lifecycle.PostStart != nil && w.Record.PostStart.Restart == runOf(in)
}

// postStart does what has to be done after a start, and stops what it has failed for.
func (w *world) postStart(in spec.Instance, c spec.Container) step {
	switch {
	case !w.startPending(in) || in.Phase != spec.InstanceRunning:
		return step{}
	case w.Record.PostStart.Failed == "":
		return w.try(Action{Verb: VerbPostStart, Instance: in.ID, Cause: "spec.lifecycle.postStart", Handler: w.wanted.Spec.Lifecycle.PostStart})
	}
	return w.stopUnhealthy(in, c, "postStart: "+w.Record.PostStart.Failed)
}

// handle does one thing in an instance, in the turn of its name.
func (a *Agent) handle(ctx context.Context, name string, instance uint64, h *spec.Handler) error {
	if h.Sleep > 0 {
		if !sleep(ctx, time.Duration(h.Sleep)) {
			return ctx.Err()
		}
		return nil
	}
	return probe.Check(ctx, h.Probe(), probe.Means{
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return a.Node.Dial(ctx, name, instance, network, address)
		},
		Exec: func(ctx context.Context, command []string) (int, []byte, error) {
			return probe.Run(ctx, command, func(ctx context.Context, e spec.Exec) (spec.Session, error) {
				return a.execNow(ctx, name, instance, e)
			})
		},
	})
}

// startHandled writes down what came of a postStart. What could not be asked, because it has ended say, is another look's matter.
func startHandled(r *record.Record, err error) {
	switch {
	case err == nil || errors.Is(err, spec.ErrNotRunning):
		r.PostStart = record.PostStart{}
	default:
		r.PostStart.Failed = err.Error()
	}
}

// preStop does what has to be done before a stop, which goes on whatever comes of it.
func (a *Agent) preStop(ctx context.Context, action Action) {
	if action.Handler == nil {
		return
	}
	if err := a.handle(ctx, action.Name, action.Instance, action.Handler); err != nil && !errors.Is(err, spec.ErrNotRunning) {
		a.tell(Event{Name: action.Name, Warning: true, Reason: "FailedPreStop", Message: fmt.Sprintf("%v; it is stopped all the same", err)})
	}
}
