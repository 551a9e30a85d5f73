package reconcile

import (
	"context"
	"reflect"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// entry is what the agent knows of one name. The fields of the upper half are guarded by Agent.mu, those of the lower half by
// the turn: whoever has it is the only one who may ask the node for verbs on the name.
type entry struct {
	id       string
	desired  *Desired
	removed  bool // the removal is confirmed
	hold     string
	others   []string        // containers and groups that its latest manifest depends on
	group    string          // of its latest manifest
	override spec.Override   // as the latest pass saw it
	far      far             // as the latest pass showed it
	configs  []string        // as the latest plan used them
	observed []spec.Instance // as the latest pass saw them
	images   []spec.Image    // as the latest pass saw them, as far as it needed them
	waiting  bool            // the latest pass waits for a stop
	retrying bool            // the latest pass has an action to try again soon
	probing  bool            // probes have not said yet how it does
	moved    time.Duration   // by which the clock was set since the latest pass
	deepDue  time.Time       // when its next deep look is due; zero for never
	hurried  bool            // something hints at a hand: it is not put off for a round
	deed     deed            // the verb that is under way

	turn    chan struct{}
	record  record.Record
	checked int        // the rules by which its earlier manifests were allowed last
	saved   record.Sum // of the record as the store has it
	failure Failure
	order   Order
	// together tells that it is the turn of its group as well.
	together bool
	// unlisted is why the images could not be listed, if they could not be.
	unlisted Failure
	// unable is why the node restores nothing, if the name has to do with images.
	unable string
	// restless counts passes in a row that acted and acted without an end; the next waits until notBefore.
	restless  int
	notBefore time.Time
	phase     spec.Phase // shown last
	outcome   Outcome    // of the pass so far
	// converging is when the scan was made whose manifest is not yet in effect; zero when it is.
	converging time.Time
	deep       Deep // what the latest deep look found
}

// entry is what is known of a name. The caller holds mu, or nobody else knows the agent yet.
func (a *Agent) entry(id string) *entry {
	n := a.names[id]
	if n == nil {
		n = &entry{id: id, turn: make(chan struct{}, 1), record: record.Record{Name: id}}
		a.names[id] = n
	}
	return n
}

// enter waits for the turn of a name, if it is not free; leave ends it.
func (a *Agent) enter(ctx context.Context, id string) (*entry, error) {
	for {
		a.mu.Lock()
		n := a.entry(id)
		a.mu.Unlock()
		if err := n.await(ctx); err != nil {
			return nil, err
		}
		a.mu.Lock()
		current, rules := a.names[id] == n, a.rules
		a.mu.Unlock()
		if current && n.checked != rules {
			n.checked = rules
			a.forgetDenied(&n.record)
		}
		if current {
			return n, nil
		}
		n.leave() // it was forgotten meanwhile
	}
}

// await takes the turn; one that is free is had by whose ctx has ended, too.
func (n *entry) await(ctx context.Context) error {
	select {
	case n.turn <- struct{}{}:
		return nil
	default:
	}
	select {
	case n.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *entry) leave() { <-n.turn }

// wants is what is in force for a name, and whether its removal is confirmed.
func (a *Agent) wants(n *entry) (desired *Desired, removed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n.hold != "" {
		return &Desired{Hold: n.hold, Container: n.container(), Accepted: Acceptance{spec.Unknown, ReasonHeld, n.hold}}, false
	}
	return n.desired, n.removed
}

// container is the manifest of a held name, as far as one is known.
func (n *entry) container() spec.Container {
	if n.desired == nil {
		return spec.Container{}
	}
	return n.desired.Container
}

// accept writes down what is in force, and whether that is news.
func (n *entry) accept(d *Desired, removed bool) (changed bool) {
	r := &n.record
	if d == nil {
		if removed && !r.Removed {
			r.Removed = true
			return true
		}
		return false
	}
	if d.Hold != "" {
		return false
	}
	r.Removed = false
	r.Source, r.Path, r.Line, r.Guarded = d.Origin.Source, d.Origin.Path, d.Origin.Line, d.Guarded
	if reflect.DeepEqual(r.Container, d.Container) {
		return false
	}
	if r.Generation > 0 && !r.Override.Suspended && state(r.Container) != state(d.Container) {
		r.Override = spec.Override{}
	}
	if r.Generation > 0 {
		r.Revise(r.Container.Spec.Updating().History)
	}
	r.Container = d.Container
	r.Generation++
	r.Rollout, r.Rollback = record.Rollout{Accepted: d.Since}, record.Rollback{}
	r.Drift = record.Drift{}
	r.Images = record.Images{}
	r.Runs.Streak, r.Runs.Began = 0, time.Time{}
	n.failure = Failure{}
	return true
}

// save brings the store up to date, if it lacks something worth keeping.
func (a *Agent) save(n *entry) error {
	if ours := n.record.Generation > 0 || n.record.Removed; !ours || n.hold != "" {
		return nil
	}
	sum := n.record.Sum()
	if sum == n.saved {
		return nil
	}
	if err := a.Store.Save(n.record); err != nil {
		a.Log.Error(err, "cannot save", "name", n.id)
		a.tell(Event{Name: n.id, Warning: true, Reason: "FailedSave", Message: err.Error()})
		return err
	}
	n.saved = sum
	return nil
}
