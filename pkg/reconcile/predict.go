package reconcile

import (
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// predict changes the world as an action is expected to, once what it sets in motion has ended.
func (w *world) predict(a Action) {
	i := slices.IndexFunc(w.Observed, func(in spec.Instance) bool { return in.ID == a.Instance })
	if a.Verb == VerbCreate {
		w.Observed = append(w.Observed, spec.Instance{
			Name: a.Name, ID: a.Instance, Phase: spec.InstanceCreated, Spec: a.Container,
			Hash: spec.Identity(a.Container, spec.DefaultsVersion), Defaults: spec.DefaultsVersion,
		})
		i = len(w.Observed) - 1
	}
	if i < 0 {
		return
	}
	in := &w.Observed[i]
	predictConfigs(in, a)
	switch a.Verb {
	case VerbDestroy:
		w.Observed = slices.Delete(w.Observed, i, i+1)
	case VerbUpdate:
		in.Spec, in.Resources = a.Container, in.Wanted
	case VerbRepair:
		w.Deep.Drifts = w.Deep.without(a.Fields)
	case VerbStart:
		w.Record.Job.Tick = a.Tick
		*in = begun(*in, w.now)
	case VerbRestore:
		*in = begun(*in, w.now)
	case VerbCheckpoint:
		w.predictImage(in, a)
	case VerbPostStart:
		w.Record.PostStart = record.PostStart{}
	case VerbPause:
		in.Phase = spec.InstancePaused
	case VerbResume:
		in.Phase = spec.InstanceRunning
	case VerbStop, VerbKill:
		in.Phase, in.Stopping = spec.InstanceExited, spec.Stopping{}
		in.Exit = &spec.Exit{Reason: spec.ExitStopped, FinishedAt: w.now}
	}
	w.Record = w.note()
}

// predictImage changes the world as an image is expected to.
func (w *world) predictImage(in *spec.Instance, a Action) {
	w.Images = append(w.Images, spec.Image{
		Container: w.Name, ID: "~", CreatedAt: w.now, Instance: in.ID, Starts: in.Starts, Hash: in.Hash, Defaults: in.Defaults, Spec: in.Spec,
	})
	w.Record.Images.Tried, w.Record.Images.Failures = w.now, 0
	if a.Options.Stop {
		in.Phase, in.Exit = spec.InstanceExited, &spec.Exit{Reason: spec.ExitCheckpointed, FinishedAt: w.now}
	}
}

// begun is an instance with a run that begins now.
func begun(in spec.Instance, now time.Time) spec.Instance {
	in.Phase, in.Exit, in.StartedAt = spec.InstanceRunning, nil, now
	in.Starts++
	return in
}
