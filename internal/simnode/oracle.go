package simnode

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Oracle judges what is done to a machine by what was asked for. It shares no code and no rule with the planner: it does not say what
// should be done next, only what never may be done, and what has to be so in the end.
type Oracle struct {
	mu         sync.Mutex
	history    map[string][]Version // of every name that was ever asked for
	hands      map[string]time.Time // when somebody last asked the agent for something
	loose      time.Time            // until when the agent may know old versions only
	down       bool                 // the node goes down
	blind      bool                 // the agent cannot know the newest version at all
	violations []string
	verbs      int
	configs    map[string]*spec.Contents // as they are asked for
}

// Version is what was asked for of a name from a moment on; no Container is nothing.
type Version struct {
	Container *spec.Container
	From      time.Time
}

// lag is how long after a change an agent may act on what was before: a verb may be delayed by faults, and so may its neighbours.
const lag = 15 * time.Second

// NewOracle knows of no name.
func NewOracle() *Oracle {
	return &Oracle{history: map[string][]Version{}, hands: map[string]time.Time{}}
}

// Asks tells the oracle what is asked for from now on; nil is nothing.
func (o *Oracle) Asks(name string, c *spec.Container) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.history[name] = append(o.history[name], Version{c, time.Now()})
}

// Forgets tells that nobody can know any more what is asked for of a name.
func (o *Oracle) Forgets(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.history, name)
}

// Hand tells that somebody asks the agent for something about a name.
func (o *Oracle) Hand(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hands[name] = time.Now()
}

// Blind tells whether the agent is kept from what is asked for.
func (o *Oracle) Blind(blind bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.blind, o.loose = blind, time.Now().Add(lag)
}

// Down tells whether the node goes down.
func (o *Oracle) Down(down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = down
}

// Violations are what was done and never may be.
func (o *Oracle) Violations() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.violations)
}

// Verbs is how many effective verbs there were.
func (o *Oracle) Verbs() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.verbs
}

// Judge is for Machine.Judge.
func (o *Oracle) Judge(verb, name string, id uint64, instances []spec.Instance) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if verb != "Checkpoint" { // which goes on for ever, where it is asked for
		o.verbs++
	}
	c := trial{down: o.down, name: name, id: id, versions: o.versions(name), handled: time.Since(o.hands[name]) < lag || o.overridden(name)}
	for _, in := range instances {
		if in.ID == id {
			c.in = in
		} else {
			c.others = append(c.others, in)
		}
	}
	law, ok := laws[verb]
	switch {
	case o.history[name] == nil:
		o.violate(verb, c, "nobody ever asked for this name")
	case ok:
		if why := law(c); why != "" {
			o.violate(verb, c, why)
		}
	}
}

// overridden tells whether a state set by hand may be in force: any time after a hand, until the end.
func (o *Oracle) overridden(name string) bool { _, ok := o.hands[name]; return ok }

func (o *Oracle) violate(verb string, c trial, why string) {
	o.violations = append(o.violations, fmt.Sprintf("%s of %s/%d (%s): %s", verb, c.name, c.id, c.in.Phase, why))
}

// versions are those that an agent may act on now.
func (o *Oracle) versions(name string) (list []Version) {
	all := o.history[name]
	for i, v := range all {
		until := time.Now()
		if i+1 < len(all) {
			until = all[i+1].From
		}
		if o.blind || time.Now().Before(o.loose) || time.Since(until) < lag {
			list = append(list, v)
		}
	}
	return list
}

// trial is one verb to be judged: the instance it is about, the others of the name, and what was asked for lately.
type trial struct {
	name     string
	id       uint64
	in       spec.Instance
	others   []spec.Instance
	versions []Version
	handled  bool
	down     bool // the node goes down
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
		case slices.ContainsFunc(c.others, hasProcess):
			return "another instance has a process"
		case c.handled:
			return ""
		case !c.asked(runs):
			return "nobody asked for it to run"
		case c.in.Exit != nil && !c.in.Exit.FinishedAt.IsZero() && byItself(c.in.Exit.Reason) && !c.asked(func(v spec.Container) bool { return restartsAfter(v, c.in.Exit.Code) }):
			return "its restart policy says no"
		}
		return ""
	},
	"Stop": func(c trial) string {
		switch {
		case c.handled || c.down || c.removed() || len(c.others) > 0 || unseen(c.in, "", spec.OnChangeRestart):
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
		case slices.ContainsFunc(c.others, hasProcess):
			return "another instance has a process"
		case c.handled:
		case !c.asked(runs):
			return "nobody asked for it to run"
		case !c.asked(func(v spec.Container) bool { return v.Spec.Checkpoints() }) && (c.in.Exit == nil || c.in.Exit.Reason != spec.ExitCheckpointed):
			return "nobody asked for it to begin from an image"
		case c.in.Exit != nil && !c.in.Exit.FinishedAt.IsZero() && byItself(c.in.Exit.Reason) && !c.asked(func(v spec.Container) bool {
			return restartsAfter(v, c.in.Exit.Code) && v.Spec.Checkpoint.OnCrash == spec.CrashRestore
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
		case c.down && c.asked(func(v spec.Container) bool { return v.Spec.Checkpoint.OnShutdown }):
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

func restartsAfter(c spec.Container, code int) bool {
	switch c.Spec.Restart.Policy {
	case spec.RestartNever:
		return false
	case spec.RestartOnFailure:
		return code != 0
	}
	return true
}

// sameFrozen compares what cannot change while an instance lives, field for field as written.
func sameFrozen(a, b spec.Container) bool {
	for _, c := range []*spec.Container{&a, &b} {
		c.Metadata.Labels, c.Metadata.Annotations = nil, nil
		c.Spec.State, c.Spec.Resources, c.Spec.Restart, c.Spec.Stop, c.Spec.Logs = "", spec.Resources{}, spec.Restart{}, spec.Stop{}, spec.Logs{}
		c.Spec.Pressure, c.Spec.Checkpoint, c.Spec.Configs = spec.Pressure{}, spec.Checkpoint{}, withoutChange(c.Spec.Configs)
	}
	return reflect.DeepEqual(a.Spec, b.Spec)
}

// Converged says what is not as it was last asked for, when everything has had its time and no state is set by hand.
func (o *Oracle) Converged(m *Machine) (wrong []string) {
	o.mu.Lock()
	asked := maps.Clone(o.history)
	o.mu.Unlock() // the machine asks the oracle while it is locked itself
	shown := m.Instances()
	for name, history := range asked {
		want := history[len(history)-1].Container
		why := differs(want, shown[name], m.Images(name), m.Refuses(name))
		if o.lacks(want, shown[name]) {
			why = ""
		} else if why == "" {
			why = o.ungiven(want, shown[name])
		}
		if why != "" {
			wrong = append(wrong, name+": "+why)
		}
	}
	slices.Sort(wrong)
	return wrong
}

// differs says what is not as it should be. One that cannot be saved may run on.
func differs(want *spec.Container, instances []spec.Instance, images []spec.Image, refused bool) string {
	live := slices.ContainsFunc(instances, hasProcess)
	switch {
	case want == nil && len(instances) > 0:
		return fmt.Sprintf("removed, but %d instances are left", len(instances))
	case want == nil:
		return ""
	case want.Spec.State == spec.StateStopped && live:
		return "stopped, but it has a process"
	case want.Spec.State == spec.StateStopped:
		return ""
	case want.Spec.State == spec.StateCheckpointed && live && !refused:
		return "is to be in an image, but it has a process"
	case want.Spec.State == spec.StateCheckpointed && !live:
		return unsaved(instances, images)
	case len(instances) != 1:
		return fmt.Sprintf("%d instances", len(instances))
	}
	in := instances[0]
	phase := spec.InstanceRunning
	if want.Spec.State == spec.StatePaused || want.Spec.State == spec.StateCheckpointed && in.Phase == spec.InstancePaused {
		phase = spec.InstancePaused
	}
	done := in.Phase == spec.InstanceExited && in.Exit != nil && !restartsAfter(*want, in.Exit.Code)
	got, asked := in.Spec.Spec, want.Spec
	got.State, asked.State = "", ""
	switch {
	case in.Phase != phase && !done:
		return fmt.Sprintf("is %s, not %s", in.Phase, phase)
	case !reflect.DeepEqual(got, asked):
		return fmt.Sprintf("has spec %+v, not %+v", got, asked)
	case !reflect.DeepEqual(in.Spec.Metadata, want.Metadata):
		return fmt.Sprintf("has metadata %+v, not %+v", in.Spec.Metadata, want.Metadata)
	case !in.Resources.Equal(want.Spec.Resources):
		return fmt.Sprintf("has limits %+v, not %+v", in.Resources, want.Spec.Resources)
	}
	return ""
}

// unsaved says what of an instance that ended in an image is not in one.
func unsaved(instances []spec.Instance, images []spec.Image) string {
	for _, in := range instances {
		if in.Exit == nil || in.Exit.Reason != spec.ExitCheckpointed {
			continue
		}
		if !slices.ContainsFunc(images, func(i spec.Image) bool { return i.IsOf(in) && i.Stopped }) {
			return fmt.Sprintf("instance %d ended in an image that is not there", in.ID)
		}
	}
	return ""
}
