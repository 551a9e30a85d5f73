package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/trace"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// deadlines bound each verb: a stuck one holds up its own name only, and not for ever.
var deadlines = map[string]time.Duration{
	VerbCreate: time.Minute, VerbStart: time.Minute, VerbDestroy: time.Minute,
	VerbPostStart: 10 * time.Second,
	VerbStop:      10 * time.Second, VerbKill: 10 * time.Second,
	VerbUpdate: 10 * time.Second, VerbPause: 10 * time.Second, VerbResume: 10 * time.Second, VerbRepair: 10 * time.Second,
	// Much memory takes its time; how long the container may stand still meanwhile is for its node to watch.
	VerbCheckpoint: 20 * time.Minute, VerbRestore: 20 * time.Minute,
	VerbConfigure: 10 * time.Second, VerbSignal: 10 * time.Second,
}

// do asks the node for a verb. An action begun is ended even when the agent is asked to end. What is taken is an image.
func (a *Agent) do(ctx context.Context, action Action) (taken spec.Image, err error) {
	return a.doWhile(context.WithoutCancel(ctx), action)
}

// doWhile is do for as long as somebody wants it.
func (a *Agent) doWhile(ctx context.Context, action Action) (taken spec.Image, err error) {
	ctx, cancel := context.WithDeadline(ctx, earlier(time.Now().Add(deadlines[action.Verb]+action.Handler.Lasts()), action.Until))
	defer cancel()
	defer a.begins(action)()
	defer a.quiet(action)()
	defer trace.StartRegion(ctx, action.Verb).End()
	began := time.Now()
	defer func() { a.Meter.Acted(action, taken, time.Since(began), err) }()
	if action.Verb == VerbCheckpoint {
		o := action.Options
		o.Cause = action.Cause
		return a.Node.Checkpoint(ctx, action.Name, action.Instance, o)
	}
	return taken, a.call(ctx, action)
}

// Verbs are all that a node is asked for, sorted.
func Verbs() []string { return slices.Sorted(maps.Keys(deadlines)) }

// call is the verb of an action.
func (a *Agent) call(ctx context.Context, action Action) error {
	name, id := action.Name, action.Instance
	switch action.Verb {
	case VerbConfigure:
		return a.Node.Configure(ctx, name, id, action.Configs)
	case VerbSignal:
		return a.signal(ctx, action)
	case VerbRestore:
		return a.Node.Restore(ctx, name, id, action.Image)
	case VerbCreate:
		return a.Node.Create(ctx, action.Container, id, spec.DefaultsVersion)
	case VerbStart:
		return a.Node.Start(ctx, name, id)
	case VerbStop:
		a.preStop(ctx, action)
		return a.Node.Stop(ctx, name, id, action.Signal, action.Timeout)
	case VerbPostStart:
		return a.handle(ctx, name, id, action.Handler)
	case VerbKill:
		return a.Node.Kill(ctx, name, id, action.Signal)
	case VerbUpdate:
		return a.Node.Update(ctx, action.Container, id)
	case VerbRepair:
		return a.Node.Repair(ctx, name, id, action.Fields...)
	case VerbPause:
		return a.Node.Pause(ctx, name, id)
	case VerbResume:
		return a.Node.Resume(ctx, name, id)
	case VerbDestroy:
		return a.Node.Destroy(ctx, name, id, action.Keep)
	}
	return fmt.Errorf("unknown verb %q: %w", action.Verb, errors.ErrUnsupported)
}
