package reconcile

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/probe"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Store keeps records over the agent's death. record.Store is the one on disk.
type Store interface {
	// Load reads all records. Damaged ones are reported in the inventory; they are no error.
	Load() (record.Inventory, error)
	// Save replaces the record of one name; after an error the one before is still there.
	Save(r record.Record) error
	// Delete forgets a name; one that is not there is no error.
	Delete(name string) error
	// SaveDrain writes down that the node is drained, or for the zero value that it is not; Load knows.
	SaveDrain(d record.Drain) error
}

// Config is what an Agent works with.
type Config struct {
	Node    Node
	Store   Store
	Sources []Source
	// Prune says what happens when manifests are removed. Default PruneGuarded.
	Prune PrunePolicy
	// Workers is how many names are worked on at once. Default 8.
	Workers int
	// Rescan and Relist are how often sources and node are looked at without a hint. Default 3s and 10s; looking takes at most
	// one part in 200 of the time.
	Rescan, Relist time.Duration
	// DeepLook is how often each container is compared with all that the kernel lets one read back. Default 60s, and looking takes at most one part in 200 of
	// the time; negative is never.
	DeepLook time.Duration
	// Allows tells whether an earlier manifest that is remembered may still be returned to. Default: each may.
	Allows func(spec.Container) bool
	// Meter is told what the loop does. Default: nobody.
	Meter Meter
	Log   logr.Logger
}

// Agent makes a node agree with manifests, for as long as it runs. Its methods may be called at any time from any goroutine.
type Agent struct {
	Config
	queue   *queue
	objects *objects
	events  *events
	groups  together
	pulse   pulse
	again   []chan chan struct{} // of each of Config.Sources: reads it anew, and closes what came
	saving  few                  // names of which an image is taken by schedule
	// intake guards who may admit; it is taken before mu.
	intake  sync.Mutex
	sources []Snapshot                   // the newest of each of Config.Sources
	told    map[string]map[string]string // problems reported already, by source and place

	// mu guards what SetRules changes as well: Config.Prune, DeepLook and Allows.
	mu        sync.Mutex
	rules     int // counts SetRules
	admission Admission
	configs   Configs
	confirmed map[string]Confirmation // by source, until it is done
	names     map[string]*entry
	frozen    map[string]int // groups of which images are being taken
	index     indices
	down      Down
	relisted  time.Time            // when the node was last looked at as a whole
	read      map[string]time.Time // when each source was last read completely
	progress  chan struct{}        // closed and replaced after every pass and admission

	hurry  chan struct{} // has something when it is time to see which deep looks are due
	prober *probe.Prober
	times  timekeeper
	began  time.Time
	synced chan struct{} // closed when everything was looked at once
}

// New makes an agent that remembers what its store holds. A damaged record never is an error.
func New(cfg Config) (*Agent, error) {
	cfg.Workers = orElse(cfg.Workers, 8)
	cfg.Rescan = orElse(cfg.Rescan, 3*time.Second)
	cfg.Relist = orElse(cfg.Relist, 10*time.Second)
	cfg.DeepLook = orElse(cfg.DeepLook, time.Minute)
	if cfg.Meter == nil {
		cfg.Meter = unmetered{}
	}
	a := &Agent{
		Config: cfg, queue: newQueue(), objects: newObjects(), events: newEvents(),
		told: map[string]map[string]string{}, confirmed: map[string]Confirmation{}, names: map[string]*entry{}, frozen: map[string]int{},
		progress: make(chan struct{}), synced: make(chan struct{}),
		index: newIndices(), began: time.Now(), hurry: make(chan struct{}, 1),
		saving: few{free: max(1, cfg.Workers/2)}, read: map[string]time.Time{},
	}
	a.queue.handed = cfg.Meter.Handed
	a.prober = a.newProber()
	for _, source := range cfg.Sources {
		a.sources = append(a.sources, Snapshot{Source: source.Name()})
		a.again = append(a.again, make(chan chan struct{}))
	}
	inventory, err := cfg.Store.Load()
	if err != nil {
		return nil, fmt.Errorf("cannot load the inventory: %w", err)
	}
	a.remember(inventory)
	return a, nil
}

func orElse[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// remember takes over what the store holds.
func (a *Agent) remember(inventory record.Inventory) {
	a.admission.Desired = map[string]*Desired{}
	a.down = drained(inventory.Drain)
	for id, r := range inventory.Records {
		n := a.entry(id)
		n.record, n.saved = r, r.Sum()
		a.forgetDenied(&n.record)
		n.override = r.Override
		a.file(n, r.Container)
		if r.Removed {
			n.removed = true
			continue
		}
		n.desired = Incumbent(r)
		a.admission.Desired[id] = n.desired
	}
	for id, err := range inventory.Held {
		n := a.entry(id)
		n.hold = err.Error()
		n.desired = &Desired{Hold: n.hold, Origin: Origin{}}
		a.admission.Desired[id] = n.desired
	}
	for _, err := range inventory.Problems {
		a.Log.Error(err, "record set aside")
		a.tell(Event{Warning: true, Reason: "RecordSetAside", Message: err.Error()})
	}
}

// Run makes the node agree until ctx ends, and then ends what it is in the middle of. What runs on the node runs on.
func (a *Agent) Run(ctx context.Context) error {
	_, _ = a.look(ctx, "first")
	hints, err := a.Node.Events(ctx)
	if ctx.Err() != nil {
		return nil // asked to end before it has begun
	}
	if err != nil {
		return fmt.Errorf("cannot watch the node: %w", err)
	}
	a.tell(Event{Reason: "AgentStarted"})
	var work sync.WaitGroup
	work.Go(func() { a.follow(ctx, hints) })
	work.Go(func() { a.relist(ctx) })
	work.Go(func() { a.prober.Run(ctx) })
	work.Go(func() { a.lookDeep(ctx) })
	read := a.scanAll(ctx, &work)
	select {
	case <-read:
	case <-time.After(firstScan):
	case <-ctx.Done():
	}
	a.enqueueAll()
	for range a.Workers {
		if ctx.Err() != nil {
			break // before the sources were read, perhaps: nothing may be done by what was in force before
		}
		work.Go(func() { a.queue.Work(ctx, func(name string) { a.pass(ctx, name) }, a.progressed) })
	}
	work.Go(func() { a.awaitSync(ctx) })
	work.Wait()
	return nil
}

// firstScan is how long slow sources hold up the start.
const firstScan = 5 * time.Second

// Synced closes when every source and every container was looked at once, and what could be done at once was done.
func (a *Agent) Synced() <-chan struct{} { return a.synced }

func (a *Agent) awaitSync(ctx context.Context) {
	if a.await(ctx, a.queue.Idle) == nil {
		close(a.synced)
	}
}

// await waits until a condition holds, which is looked at after every pass and admission.
func (a *Agent) await(ctx context.Context, condition func() bool) error {
	for {
		a.mu.Lock()
		progress := a.progress
		a.mu.Unlock()
		if condition() {
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (a *Agent) progressed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.progress)
	a.progress = make(chan struct{})
}

// EventMessage is what is logged of an event, at V(1), with its name, reason and message, and warning if it is one.
const EventMessage = "event"

// tell notes an event.
func (a *Agent) tell(e Event) {
	e.Time = now()
	a.events.Add(e)
	a.Meter.Told(e)
	told := []any{"name", e.Name, "reason", e.Reason, "message", e.Message}
	if e.Warning {
		told = append(told, "warning", true)
	}
	a.Log.V(1).Info(EventMessage, told...)
}

// now is the wall clock without the monotonic one: times are kept in files and compared with the kernel's.
func now() time.Time { return time.Now().Round(0).UTC() }
