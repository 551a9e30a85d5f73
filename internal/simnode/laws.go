package simnode

import (
	"reflect"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// trial is one verb to be judged: the instance it is about, the others of the name, and what was asked for lately.
type trial struct {
	name     string
	id       uint64
	in       spec.Instance
	others   []spec.Instance
	versions []Version
	handled  bool
	down     bool // the node goes down
	late     bool // and has done so for a while
	beyond   bool // its time is over, or it answers nothing good
	saves    bool // what goes down goes into an image
	keeps    bool // what is removed leaves an image
	kept     bool // by what is on disk it is not removed, and goes into an image when the node goes down
	saved    bool // the latest run ended in an image, as was asked for then
}

// asked tells whether some version is as a test says; nothing asked for is no version.
func (c trial) asked(test func(spec.Container) bool) bool {
	return slices.ContainsFunc(c.versions, func(v Version) bool { return v.Container != nil && test(*v.Container) })
}

func (c trial) removed() bool {
	return slices.ContainsFunc(c.versions, func(v Version) bool { return v.Container == nil })
}

func hasProcess(in spec.Instance) bool {
	return in.Phase == spec.InstanceRunning || in.Phase == spec.InstancePaused
}

// laws say of each verb why it may not be done; "" when it may.
var laws = map[string]func(trial) string{
	"Create": func(c trial) string {
		switch {
		case c.late:
			return "the node goes down"
		case !c.asked(runs) && !c.handled:
			return "nobody asked for it to run"
		case slices.ContainsFunc(c.others, func(in spec.Instance) bool {
			return in.Phase != spec.InstanceBroken && in.Spec.Metadata.Name != "" && !c.asked(func(v spec.Container) bool { return !sameFrozen(v, in.Spec) })
		}):
			return "there is an instance of just what is asked for"
		}
		return ""
	},
	"Start": func(c trial) string {
		switch {
		case c.late:
			return "the node goes down"
		case slices.ContainsFunc(c.others, hasProcess):
			return "another instance has a process"
		case c.handled:
			return ""
		case !c.asked(runs):
			return "nobody asked for it to run"
		case c.in.Exit != nil && !c.in.Exit.FinishedAt.IsZero() && byItself(c.in.Exit.Reason) && !c.asked(func(v spec.Container) bool { return scheduled(v) || restartsAfter(v, *c.in.Exit) }):
			return "its restart policy says no"
		}
		return ""
	},
	"Repair": func(c trial) string {
		switch {
		case c.late:
			return "the node goes down"
		case !hasProcess(c.in):
			return "nothing runs that could differ"
		case !c.in.Stopping.IsZero():
			return "it is about to end"
		}
		return ""
	},
	"Stop": func(c trial) string {
		switch {
		case c.handled || c.down || c.removed() || len(c.others) > 0 || c.beyond || unseen(c.in, "", spec.OnChangeRestart):
		case c.asked(func(v spec.Container) bool { return v.Spec.State == spec.StateStopped || !sameFrozen(v, c.in.Spec) }):
		default:
			return "its manifest did not change"
		}
		return ""
	},
	"Kill": func(c trial) string {
		if c.handled || overdue(c.in) || unseen(c.in, spec.OnChangeSignal) {
			return ""
		}
		return "nobody asked for it"
	},
	"Destroy": func(c trial) string {
		switch {
		case c.late:
			return "the node goes down"
		case c.in.Phase == spec.InstanceBroken:
		case hasProcess(c.in) && !overdue(c.in):
			return "its process was not asked to end first"
		case !c.removed() && len(c.others) == 0:
			return "it is asked for, and there is no other"
		}
		return ""
	},
	"Restore": func(c trial) string {
		switch {
		case c.late:
			return "the node goes down"
		case slices.ContainsFunc(c.others, hasProcess):
			return "another instance has a process"
		case c.handled:
		case !c.asked(runs):
			return "nobody asked for it to run"
		case !c.asked(func(v spec.Container) bool { return v.Spec.Checkpoints() }) && !c.saved && (c.in.Exit == nil || c.in.Exit.Reason != spec.ExitCheckpointed):
			return "nobody asked for it to begin from an image"
		case c.in.Exit != nil && !c.in.Exit.FinishedAt.IsZero() && byItself(c.in.Exit.Reason) && !c.asked(func(v spec.Container) bool {
			return restartsAfter(v, *c.in.Exit) && v.Spec.Checkpoint.OnCrash == spec.CrashRestore
		}):
			return "its restart policy says no, or not from an image"
		}
		return ""
	},
	"Checkpoint": func(c trial) string {
		switch {
		case c.handled, c.asked(func(v spec.Container) bool { return v.Spec.Checkpoint.Every > 0 }):
			return ""
		}
		return "nobody asked for it"
	},
	"Suspend": func(c trial) string {
		switch {
		case c.handled, c.asked(func(v spec.Container) bool { return v.Spec.State == spec.StateCheckpointed }):
		case c.down && (c.saves || c.asked(func(v spec.Container) bool { return v.Spec.Checkpoint.OnShutdown })):
		case c.removed() && c.keeps:
		case c.down && c.removed() && c.kept: // an agent that has just begun does not know of the removal yet
		default:
			return "nobody asked for it"
		}
		return ""
	},
	"RemoveImages": func(c trial) string {
		if c.removed() {
			return ""
		}
		return "it is asked for, and its images are gone"
	},
	"Configure": func(c trial) string {
		if c.asked(func(v spec.Container) bool { return len(v.Spec.Configs) > 0 }) {
			return ""
		}
		return "nobody asked for it"
	},
	"Update": func(c trial) string {
		if c.asked(func(spec.Container) bool { return true }) {
			return ""
		}
		return "nobody asked for it"
	},
	"Resume": func(c trial) string {
		if c.handled || c.asked(func(v spec.Container) bool { return v.Spec.State != spec.StatePaused }) {
			return ""
		}
		return "nobody asked for it"
	},
	"Pause": func(c trial) string {
		if c.handled || c.asked(func(v spec.Container) bool { return v.Spec.State == spec.StatePaused }) {
			return ""
		}
		return "nobody asked for it"
	},
}

// runs tells whether a manifest asks for a process.
func runs(c spec.Container) bool {
	return c.Spec.State != spec.StateStopped && c.Spec.State != spec.StateCheckpointed
}

func overdue(in spec.Instance) bool {
	return !in.Stopping.IsZero() && time.Now().After(in.Stopping.Deadline)
}

func byItself(reason string) bool {
	return slices.Contains([]string{spec.ExitCompleted, spec.ExitError, spec.ExitOOMKilled, spec.ExitKilled}, reason)
}

// sameFrozen compares what cannot change while an instance lives, field for field as written.
func sameFrozen(a, b spec.Container) bool {
	for _, c := range []*spec.Container{&a, &b} {
		c.Metadata.Labels, c.Metadata.Annotations = nil, nil
		c.Spec.State, c.Spec.Resources, c.Spec.Restart, c.Spec.Stop, c.Spec.Logs = "", spec.Resources{}, spec.Restart{}, spec.Stop{}, spec.Logs{}
		c.Spec.Pressure, c.Spec.Checkpoint, c.Spec.Configs = spec.Pressure{}, spec.Checkpoint{}, withoutChange(c.Spec.Configs)
		c.Spec.Suspend, c.Spec.DeletionPolicy, c.Spec.Job, c.Spec.Deadline, c.Spec.DependsOn = false, "", spec.JobRuns{}, 0, nil
		c.Spec.Probes, c.Spec.Lifecycle, c.Spec.Update = spec.Probes{}, spec.Lifecycle{}, spec.Update{}
	}
	return reflect.DeepEqual(a.Spec, b.Spec)
}
