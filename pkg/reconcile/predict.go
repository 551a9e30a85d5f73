package reconcile

import (
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// predict changes the world as an action is expected to, once what it sets in motion has ended.
func (w *world) predict(a Action) {
	i := slices.IndexFunc(w.Observed, func(in spec.Instance) bool { return in.ID == a.Instance })
	if a.Verb == VerbCreate {
		w.Observed = append(w.Observed, spec.Instance{
			Name: a.Name, ID: a.Instance, Phase: spec.InstanceCreated, Spec: a.Container,
			Hash: spec.Identity(a.Container, a.Defaults), Defaults: a.Defaults,
		})
		i = len(w.Observed) - 1
	}
	if i < 0 {
		return
	}
	in := &w.Observed[i]
	switch a.Verb {
	case VerbDestroy:
		w.Observed = slices.Delete(w.Observed, i, i+1)
	case VerbUpdate:
		in.Spec, in.Resources = a.Container, in.Wanted
	case VerbStart:
		in.Phase, in.Exit = spec.InstanceRunning, nil
		in.Starts++
	case VerbPause:
		in.Phase = spec.InstancePaused
	case VerbResume:
		in.Phase = spec.InstanceRunning
	case VerbStop, VerbKill:
		in.Phase, in.Stopping = spec.InstanceExited, spec.Stopping{}
		in.Exit = &spec.Exit{Reason: spec.ExitStopped, FinishedAt: w.now}
	}
	w.Record = note(w.Record, w.Observed, w.now)
}
