package reconcile

import (
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Subject is everything Plan looks at: one name.
type Subject struct {
	Name string
	// Desired is what is in force; nil when no manifest asks for the name. Then nothing is done unless Record.Removed.
	Desired *Desired
	// Observed are the instances the node shows, oldest first.
	Observed []spec.Instance
	Record   record.Record
	// Failure is the latest action that failed, if none has succeeded since.
	Failure Failure
	// Images are those of the name and of what its manifest says it begins from, as far as the plan may need them: see NeedsImages. Unlisted says
	// why they could not be listed; then there are none.
	Images   []spec.Image
	Unlisted Failure
	// Unable says why the node restores nothing, "" if it does, or if nothing of the name has to do with images.
	Unable string
	// Order is what other containers mean for this one.
	Order Order
	// Configs are those that the wanted container uses, as far as they are known. Frozen tells that an image is being taken of its group.
	Configs map[string]KnownConfig
	Frozen  bool
	// Deep is what the latest deep look found.
	Deep Deep
	// Down tells that the node goes down: nothing is begun, and everything ends.
	Down Down
}

// Decision is what Plan says.
type Decision struct {
	// Actions lead to the desired state. Only the first is to be done before looking again; the others are what would follow
	// if all went as expected. None means converged, or waiting.
	Actions []Action
	// Wake is when to plan again if nothing happens before; zero for never.
	Wake time.Time
	// Waits is when what waits goes on, a restart or another try; zero when nothing does. Wake is not after it, and may be there alone: for an image that will be
	// due, or to judge how a manifest proves itself.
	Waits time.Time
	// Waiting tells that a stop under way has to end first.
	Waiting bool
	// Orphaned tells that the name is to be forgotten, and what is there of it left alone.
	Orphaned bool
	// Held tells that the next action failed before and waits, or is given up.
	Held bool
	// Record is the subject's with what was observed noted down.
	Record record.Record
	// Status is what to show, without what only time can say: when conditions changed.
	Status spec.Status
}

// maxSteps bounds a plan: a replacement among leftovers takes about ten.
const maxSteps = 32

// Plan decides what to do about one name at one moment. It looks at nothing but its arguments.
func Plan(s Subject, now time.Time) Decision {
	w := newWorld(s, now)
	before := w.note()
	w.Record = before
	w.Record = w.noteJob()
	before = w.Record
	var judgement time.Time
	s.Record, judgement = w.judge()
	if s.Record.Rollback != before.Rollback {
		s.Failure = Failure{} // of a manifest that is not in force any more
	}
	w = newWorld(s, now)
	first := w.next()
	first.due = earlier(earlier(first.due, judgement), s.Record.Override.Until)
	d := Decision{Record: s.Record, Wake: earlier(first.wake, first.due), Waits: first.wake, Waiting: first.waiting, Orphaned: first.orphaned, Held: first.held != nil}
	for next := first; next.action != nil && len(d.Actions) < maxSteps; next = w.next() {
		d.Actions = append(d.Actions, *next.action)
		w.predict(*next.action)
	}
	d.Status = newWorld(s, now).status(d.Actions, first)
	return d
}

// world is a name as the rules see it. Predictions change it; what it was made from stays as it was.
type world struct {
	Subject
	now    time.Time
	wanted spec.Container // Desired.Container or an earlier one, zero when there is none
	back   bool           // wanted is an earlier one
	hashes map[int]string // identities of wanted, by version of the defaults, then
}

func newWorld(s Subject, now time.Time) *world {
	w := &world{Subject: s, now: now, hashes: map[int]string{}}
	w.Observed = slices.Clone(s.Observed)
	w.Images = slices.Clone(s.Images)
	if s.Desired != nil {
		w.wanted = wantedOf(s.Desired, s.Record)
		_, w.back = s.Record.RolledBack()
	}
	return w
}

// state is what the container should be doing now.
func (w *world) state() spec.State {
	switch {
	case w.Down.IsZero():
		return w.asked()
	case w.suspends():
		return spec.StateCheckpointed
	}
	return spec.StateStopped
}

// asked is what the container should be doing on a node that stays up: what somebody set by hand, else what its manifest says.
func (w *world) asked() spec.State {
	if w.Record.Override.State != "" {
		return w.Record.Override.State
	}
	return state(w.wanted)
}

// matches tells whether an instance can become what is wanted without a successor.
func (w *world) matches(in spec.Instance) bool {
	return in.Hash == w.identity(in.Defaults)
}

// identity is spec.Identity of what is wanted.
func (w *world) identity(defaults int) string {
	if w.Desired != nil && !w.back {
		return w.Desired.identity(defaults)
	}
	hash, ok := w.hashes[defaults]
	if !ok {
		hash = spec.Identity(w.wanted, defaults)
		w.hashes[defaults] = hash
	}
	return hash
}

// live tells whether an instance has processes.
func live(in spec.Instance) bool {
	return in.Phase == spec.InstanceRunning || in.Phase == spec.InstancePaused
}
