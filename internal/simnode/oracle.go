package simnode

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Oracle judges what is done to a machine by what was asked for. It shares no code and no rule with the planner: it does not say what
// should be done next, only what never may be done, and what has to be so in the end.
type Oracle struct {
	// Guarded tells that removals may wait for somebody to confirm them.
	Guarded bool

	mu         sync.Mutex
	history    map[string][]Version // of every name that was ever asked for
	hands      map[string]hand
	blinds     map[string]span // when the agent was kept from what is asked for of a name
	doubt      span            // when it could not know what was removed
	down       span            // when the node went down
	downBy     time.Time       // when all had to be over
	saves      span            // and when what can went into images
	circled    map[string]span // when it was in a circle of dependencies
	far        map[string]far
	orphans    map[string]bool // what was left as it is
	rows       map[string]row
	ticks      map[string]time.Time // of the schedule, that of the latest run
	ledger     ledger
	starts     map[string][]time.Time // after ends that nobody asked for, of each instance
	violations []string
	verbs      map[string]int
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
	return &Oracle{
		history: map[string][]Version{}, hands: map[string]hand{}, blinds: map[string]span{}, ledger: newLedger(), starts: map[string][]time.Time{},
		circled: map[string]span{}, far: map[string]far{}, orphans: map[string]bool{}, rows: map[string]row{}, ticks: map[string]time.Time{},
		verbs: map[string]int{},
	}
}

// Asks tells the oracle what is asked for from now on; nil is nothing.
func (o *Oracle) Asks(name string, c *spec.Container) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.history[name] = append(o.history[name], Version{c, time.Now()})
	o.round()
}

// Forgets tells that nobody can know any more what is asked for of a name.
func (o *Oracle) Forgets(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.history, name)
}

// span is a time that lasts, or has ended.
type span struct {
	on          bool
	since, till time.Time
	last        time.Duration // how long the latest one that has ended was
}

// set begins or ends it. One that begins again before an agent can have used the time between goes on.
func (s span) set(on bool) span {
	switch {
	case on && !s.may():
		s.since = time.Now()
	case !on && s.on:
		s.till = time.Now()
	}
	s.on = on
	return s
}

// may tells whether an agent may still act as if it lasted.
func (s span) may() bool { return s.on || !s.till.IsZero() && time.Since(s.till) < lag }

// hand is when somebody asked the agent for something about a name.
type hand struct {
	asking int
	last   time.Time
}

// Hand tells that somebody asks the agent for something about a name, until the function it gives is called.
func (o *Oracle) Hand(name string) (done func()) {
	o.reach(name, 1)
	return func() { o.reach(name, -1) }
}

func (o *Oracle) reach(name string, more int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hands[name] = hand{o.hands[name].asking + more, time.Now()}
}

// handled tells whether something by hand may be in force.
func (o *Oracle) handled(name string) bool {
	h := o.hands[name]
	return h.asking > 0 || time.Since(h.last) < lag || o.ledger.byHand(name)
}

// Blind tells whether the agent is kept from what is asked for of a name.
func (o *Oracle) Blind(name string, blind bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.blinds[name] = o.blinds[name].set(blind)
}

// Doubt tells whether the agent cannot know what was removed.
func (o *Oracle) Doubt(doubt bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.doubt = o.doubt.set(doubt)
}

// Down tells whether the node goes down, by when, zero when nobody said, and whether what can goes into images.
func (o *Oracle) Down(down bool, by time.Time, saves bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down, o.downBy, o.saves = o.down.to(down), by, o.saves.set(saves)
}

// Begins tells that a new agent begins, which knows what is on disk.
func (o *Oracle) Begins() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ledger.acted = maps.Clone(o.ledger.kept)
}

// Writes tells what is on disk of a name from now on; nil is nothing.
func (o *Oracle) Writes(name string, r *record.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.ledger.records[name]
	o.orphans[name] = r == nil && (o.orphans[name] || before.Removed && before.Container.Spec.DeletionPolicy == spec.DeletionOrphan)
	o.ledger.write(name, r)
	o.round()
	if r == nil {
		maps.DeleteFunc(o.rows, func(key string, _ row) bool { return strings.HasPrefix(key, name+"/") }) // nobody knows what was before
		return
	}
	if why := o.returns(before, *r); why != "" {
		o.violations = append(o.violations, name+": "+why)
	}
}

// Holds tells whether the agent has to leave a name alone.
func (o *Oracle) Holds(name string, held bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ledger.held[name] = held
}

// Violations are what was done and never may be.
func (o *Oracle) Violations() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.violations)
}

// Verbs is how many effective verbs there were about each name.
func (o *Oracle) Verbs() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.verbs)
}

// Judge is for Machine.Judge.
func (o *Oracle) Judge(verb, name string, id uint64, instances []spec.Instance) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if verb != "Checkpoint" && !scheduled(o.last(name)) { // which go on for ever, where they are asked for
		o.verbs[name]++
	}
	c := trial{down: o.down.may(), saves: o.saves.may(), name: name, id: id, versions: o.versions(name), handled: o.handled(name), saved: o.ledger.records[name].Suspended}
	own := o.ledger.records[name]
	c.keeps, c.kept = own.Container.Spec.DeletionPolicy == spec.DeletionCheckpoint, !own.Removed && own.Container.Spec.Checkpoint.OnShutdown
	c.late = o.down.on && time.Since(o.down.since) > lag
	if r := o.ledger.records[name]; returned(r) != nil {
		c.versions = append(c.versions, Version{Container: returned(r)})
	}
	for _, in := range instances {
		if in.ID == id {
			c.in = in
		} else {
			c.others = append(c.others, in)
		}
	}
	if o.history[name] == nil {
		o.violate(verb, c, "nobody ever asked for this name")
		return
	}
	c.beyond = o.beyond(c)
	for _, why := range []string{
		laws[verb](c), o.ledger.judge(verb, name, id, c.handled), o.pauses(verb, c), o.waits(verb, c), o.before(verb, c), o.given(verb, c),
		o.jobs(verb, c), o.alone(verb, c),
	} {
		if why != "" {
			o.violate(verb, c, why)
		}
	}
}

// tooMany is how many starts of one instance in a minute, after ends that nobody asked for, no back-off leads to.
const tooMany = 14

// pauses says whether an instance is started again and again without a pause.
func (o *Oracle) pauses(verb string, c trial) string {
	if verb != "Start" && verb != "Restore" || c.handled || c.in.Exit == nil || !byItself(c.in.Exit.Reason) {
		return ""
	}
	key := fmt.Sprintf("%s/%d", c.name, c.id)
	o.starts[key] = append(slices.DeleteFunc(o.starts[key], func(t time.Time) bool { return time.Since(t) > time.Minute }), time.Now())
	if len(o.starts[key]) > tooMany {
		return fmt.Sprintf("%d starts in a minute", len(o.starts[key]))
	}
	return ""
}

func (o *Oracle) violate(verb string, c trial, why string) {
	o.violations = append(o.violations, fmt.Sprintf("%s of %s/%d (%s): %s", verb, c.name, c.id, c.in.Phase, why))
}

// blinded tells whether an agent may be kept from what is asked for of a name, because it cannot read it or must not.
func (o *Oracle) blinded(name string) bool { return o.blinds[name].may() || o.circled[name].may() }

// versions are those that an agent may act on now: those of the last moments, those that it last saw, and of what was removed also what was before
// where it cannot know, or has to wait.
func (o *Oracle) versions(name string) (list []Version) {
	all, blind := o.history[name], o.blinded(name)
	if len(all) == 0 {
		return nil
	}
	last := len(all) - 1
	for last > 0 && all[last].Container != nil && time.Since(all[last].From) < lag {
		last-- // which may have been put back after a removal that nobody could know of
	}
	unsure := all[last].Container == nil && (o.Guarded || o.doubt.may())
	if r, ok := o.ledger.records[name]; ok && (blind || unsure) { // an agent that begins has seen no other, where it could not write
		list = append(list, Version{Container: &r.Container})
		if r.Removed {
			list = append(list, Version{})
		}
	}
	for i, v := range slices.Backward(all) {
		switch {
		case i == len(all)-1, time.Since(all[i+1].From) < lag:
		case o.blinds[name].may() && o.blinds[name].since.Sub(all[i+1].From) < lag:
		case o.circled[name].may() && o.circled[name].since.Sub(all[i+1].From) < lag:
		case unsure && i == last-1:
		default:
			return list
		}
		list = append(list, v)
	}
	return list
}
