package probe

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"reflect"
	"sync"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Config is what a Prober works with.
type Config struct {
	// Dial opens a connection from inside an instance's network, as reconcile.Node does.
	Dial func(ctx context.Context, name string, instance uint64, network, address string) (net.Conn, error)
	// Exec runs a command in an instance: an Execer, see there for its laws.
	Exec func(ctx context.Context, name string, instance uint64, command []string) (code int, output []byte, err error)
	// Changed is told the name of which Health has changed because of a result. It is called by who asked, with nothing locked, and may call the Prober.
	Changed func(name string)
	// Limit is how many questions are asked at once; what is due beyond it waits its turn. Default 64.
	Limit int
}

// Target is a container to be asked, in one of its runs.
type Target struct {
	// Instance and Starts are the run; another begins anew.
	Instance uint64
	Starts   int
	// StartedAt is when the run began; delays count from it.
	StartedAt time.Time
	Probes    spec.Probes
	// Suspended stops the questions. What is known stays, and a question that is under way is dropped.
	Suspended bool
	// Health is what was known of this run, by an agent before this one say. It counts when the name is new, and never afterwards.
	Health Health
}

// run tells whether two targets are of the same run.
func (t Target) run(other Target) bool {
	return t.Instance == other.Instance && t.Starts == other.Starts
}

// equal tells whether there is nothing to do to get from one to the other.
func (t Target) equal(other Target) bool {
	return t.run(other) && t.StartedAt.Equal(other.StartedAt) && t.Suspended == other.Suspended && reflect.DeepEqual(t.Probes, other.Probes)
}

// Prober asks all probes of a node. Its methods may be called at any time from any goroutine, also before Run, which alone asks. A container costs a few
// words of memory while nothing is due.
type Prober struct {
	cfg Config

	mu      sync.Mutex
	targets map[string]*target
	table   timetable
	waiting []*turn         // due, but as many questions as may be are being asked; the first is asked next
	asking  map[place]bool  // also what was dropped and has not ended yet
	late    map[place]*turn // due, but its place is being asked still

	wake chan struct{} // the timetable has a new first, or there is room for who waits
}

// place is one probe of one name, whichever run of it is asked.
type place struct {
	name string
	kind Kind
}

// target is a Target as long as nothing of it changes: any change makes another, so that a result is the target's that asked.
type target struct {
	Target
	state State
	next  [kinds]time.Time // when each is due, for the target after this one
	ctx   context.Context  // until another takes its place
	end   context.CancelFunc
}

// New makes a Prober that asks nothing yet.
func New(cfg Config) *Prober {
	if cfg.Limit <= 0 {
		cfg.Limit = 64
	}
	return &Prober{cfg: cfg, targets: map[string]*target{}, asking: map[place]bool{}, late: map[place]*turn{}, wake: make(chan struct{}, 1)}
}

// Set says what is to be asked of a name from now on. An equal target changes nothing; another run begins anew; other probes of the same run go on
// from what is known.
func (p *Prober) Set(name string, t Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(name, t)
}

// set is Set for who holds the lock.
func (p *Prober) set(name string, t Target) {
	before, now := p.targets[name], time.Now()
	next := &target{Target: t}
	switch {
	case before == nil:
		next.state = NewState(t.Probes, t.Health, stamp(now))
	case before.equal(t):
		return
	case before.run(t):
		next.state, next.next = before.state.With(t.Probes, stamp(now)), before.next
		for k := range Kind(kinds) {
			if !k.unchanged(t.Probes, before.Probes) {
				next.next[k] = time.Time{}
			}
		}
	default:
		next.Health = Health{}
		next.state = NewState(t.Probes, Health{}, stamp(now))
	}
	p.drop(before)
	next.ctx, next.end = context.WithCancel(context.Background())
	p.targets[name] = next
	p.plan(name, next, now)
}

// Suspend stops the questions to a name until it is Set again. One that is not known is no error.
func (p *Prober) Suspend(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[name]; t != nil {
		suspended := t.Target
		suspended.Suspended = true
		p.set(name, suspended)
	}
}

// Remove forgets a name. One that is not known is no error.
func (p *Prober) Remove(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(p.targets[name])
	delete(p.targets, name)
}

// Health is what is known of a name; false of one that was not Set.
func (p *Prober) Health(name string) (Health, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.targets[name]
	if !ok {
		return Health{}, false
	}
	return t.state.Health(), true
}

// Notified takes what a run has said of itself by now, see State.Told, and tells whether Health has changed. Word of another run than the one that was Set means
// nothing.
func (p *Prober) Notified(name string, instance uint64, starts int, n spec.Notified) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.targets[name]
	if !ok || t.Instance != instance || t.Starts != starts {
		return false
	}
	now, before := time.Now(), t.state.Health()
	changed = t.state.Told(n, stamp(now))
	if !before.Started && t.state.Health().Started {
		p.plan(name, t, now)
	}
	return changed
}

// stamp is a time that is kept in files: without the monotonic clock, as of one place.
func stamp(t time.Time) time.Time { return t.Round(0).UTC() }

// drop ends what is under way of a target, and has it asked no more.
func (p *Prober) drop(t *target) {
	if t != nil {
		t.end()
	}
}

// saysNothing tells errors that are no answer: there is nobody to be asked, or he must not be disturbed, and who said so knows that better than a probe. An
// error about a command itself, which is not there say, is an answer.
func saysNothing(err error) bool {
	if of, ok := errors.AsType[interface {
		error
		OfCommand() bool
	}](err); ok && of.OfCommand() {
		return false
	}
	return errors.Is(err, spec.ErrNotRunning) || errors.Is(err, spec.ErrBusy) || errors.Is(err, fs.ErrNotExist)
}
