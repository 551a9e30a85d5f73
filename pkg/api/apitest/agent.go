// Package apitest is an agent in memory for tests of what speaks to one: it keeps objects and events as it is told and
// remembers what it was asked for. It refuses to decide anything.
package apitest

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Agent is an api.Agent, api.Logs, api.Node and api.Images. Make one with New.
type Agent struct {
	mu       sync.Mutex
	version  uint64
	objects  map[string]spec.Object
	history  []api.Change
	watchers map[chan api.Change]bool
	events   []api.Event
	asked    []string
	sources  []api.Source
	lines    map[string][]api.LogLine
	stats    map[string]spec.Stats
	running  map[string][]spec.Process
	drifts   map[string][]spec.Drift
	sessions []*Session
	owns     map[string]*own
	images   []*image
	hold     *hold
}

// Remembered is how many changes a watch can go back.
const Remembered = 8

// queue is how far a watcher may fall behind.
const queue = 4

// New makes an agent without objects.
func New() *Agent {
	return &Agent{
		objects: map[string]spec.Object{}, watchers: map[chan api.Change]bool{}, lines: map[string][]api.LogLine{},
		stats: map[string]spec.Stats{}, running: map[string][]spec.Process{}, drifts: map[string][]spec.Drift{}, owns: map[string]*own{},
	}
}

// Put adds or changes an object.
func (a *Agent) Put(o spec.Object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kind := api.Modified
	if _, there := a.objects[o.Metadata.Name]; !there {
		kind = api.Added
	}
	o.APIVersion, o.Kind = spec.APIVersion, spec.KindContainer
	a.change(kind, o)
	a.objects[o.Metadata.Name] = a.history[len(a.history)-1].Object
}

// Remove removes an object.
func (a *Agent) Remove(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.change(api.Deleted, a.objects[name])
	delete(a.objects, name)
}

func (a *Agent) change(kind api.ChangeType, o spec.Object) {
	a.version++
	o.Metadata.ResourceVersion = a.version
	c := api.Change{Type: kind, Object: o}
	a.history = append(a.history, c)
	a.history = a.history[max(0, len(a.history)-Remembered):]
	for w := range a.watchers {
		select {
		case w <- c:
		default:
			close(w)
			delete(a.watchers, w)
		}
	}
}

// Asked is what verbs were asked for, in order: "override web Paused".
func (a *Agent) Asked() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

// AddEvent appends an event.
func (a *Agent) AddEvent(e api.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e.ID = uint64(len(a.events)) + 1
	a.events = append(a.events, e)
}

// SetSources says what Sources answers.
func (a *Agent) SetSources(sources ...api.Source) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sources = sources
}

// AddLog appends a line to a container's output.
func (a *Agent) AddLog(name string, line api.LogLine) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines[name] = append(a.lines[name], line)
}

// SetStats says what a container uses and what runs in it. The object's instance is that of the statistics.
func (a *Agent) SetStats(s spec.Stats, processes ...spec.Process) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stats[s.Name], a.running[s.Name] = s, processes
}

// SetDrift says what differs of a container.
func (a *Agent) SetDrift(name string, drifts ...spec.Drift) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drifts[name] = drifts
}

// RepairDrift is what was set, and notes the call.
func (a *Agent) RepairDrift(ctx context.Context, name string) ([]spec.Drift, error) {
	_ = a.ask("repair", name)
	return a.Drift(ctx, name)
}

// Drift is what was set.
func (a *Agent) Drift(_ context.Context, name string) ([]spec.Drift, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.drifts[name], nil
}

// Stats are those set.
func (a *Agent) Stats(_ context.Context, name string, instance uint64) (spec.Stats, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.stats[name]
	if !ok || s.Instance != instance {
		return spec.Stats{}, fs.ErrNotExist
	}
	return s, nil
}

// Processes are those set.
func (a *Agent) Processes(ctx context.Context, name string, instance uint64) ([]spec.Process, error) {
	if _, err := a.Stats(ctx, name, instance); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running[name], nil
}

// Objects are all objects, by name.
func (a *Agent) Objects() ([]spec.Object, uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []spec.Object
	for _, o := range a.objects {
		all = append(all, o)
	}
	slices.SortFunc(all, func(x, y spec.Object) int { return strings.Compare(x.Metadata.Name, y.Metadata.Name) })
	return all, a.version
}

// Object is one object.
func (a *Agent) Object(name string) (spec.Object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o, ok := a.objects[name]
	if !ok {
		return o, fs.ErrNotExist
	}
	return o, nil
}

// Watch gives the changes remembered since a version, then new ones.
func (a *Agent) Watch(ctx context.Context, since uint64) (<-chan api.Change, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := slices.DeleteFunc(slices.Clone(a.history), func(c api.Change) bool { return c.Object.Metadata.ResourceVersion <= since })
	if since > a.version || uint64(len(old)) < a.version-since {
		return nil, api.ErrExpired
	}
	w := make(chan api.Change, queue+len(old))
	for _, c := range old {
		w <- c
	}
	a.watchers[w] = true
	context.AfterFunc(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.watchers, w)
	})
	return w, nil
}

// Events are the events added, of one container or of all.
func (a *Agent) Events(name string, since uint64) []api.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.events), func(e api.Event) bool { return e.ID <= since || name != "" && e.Name != name })
}

// WatchEvents gives the events there are, then nothing.
func (a *Agent) WatchEvents(_ context.Context, name string, since uint64) <-chan api.Event {
	events := a.Events(name, since)
	c := make(chan api.Event, len(events))
	for _, e := range events {
		c <- e
	}
	return c
}

// Sources are those set.
func (a *Agent) Sources() []api.Source {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sources
}

// Plan is what the objects have pending.
func (a *Agent) Plan(context.Context) (api.Plan, error) {
	var p api.Plan
	objects, _ := a.Objects()
	for _, o := range objects {
		for _, pending := range o.Status.Pending {
			p.Actions = append(p.Actions, api.Action{Name: o.Metadata.Name, Verb: pending.Verb, Cause: pending.Cause})
		}
	}
	return p, nil
}

// ask remembers a request.
func (a *Agent) ask(words ...string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, strings.TrimSpace(strings.Join(words, " ")))
	return nil
}

// Override remembers and sets the phase that would follow.
func (a *Agent) Override(_ context.Context, name string, override spec.Override) error {
	o, err := a.Object(name)
	if err != nil {
		return err
	}
	o.Status.Override = override
	o.Status.Phase = spec.Phase(override.State)
	if override.State == "" {
		o.Status.Phase = spec.PhaseRunning
	}
	a.Put(o)
	words := []string{"override", name, string(override.State)}
	if override.Suspended {
		words = append(words, "suspended")
	}
	if !override.Until.IsZero() {
		words = append(words, "for", time.Until(override.Until).Round(time.Minute).String())
	}
	return a.ask(words...)
}

// Revisions are two, the second of which has failed.
func (a *Agent) Revisions(_ context.Context, name string) ([]spec.Revision, error) {
	if _, err := a.Object(name); err != nil {
		return nil, err
	}
	return []spec.Revision{
		{Rollout: spec.Rollout{Generation: 1, InForce: 1, State: spec.RolloutHealthy}},
		{
			Rollout: spec.Rollout{Generation: 2, InForce: 1, State: spec.RolloutRolledBack, Message: "not ready within 5m"},
			Changes: []spec.Change{{Path: "command", Old: "[web]", New: "[wob]", Class: spec.ClassReplace}},
		},
	}, nil
}

// Undo remembers.
func (a *Agent) Undo(_ context.Context, name string, generation int64) error {
	return a.ask("undo", name, strconv.FormatInt(generation, 10))
}

// Restart remembers.
func (a *Agent) Restart(_ context.Context, name string) error { return a.ask("restart", name) }

// Kill remembers.
func (a *Agent) Kill(_ context.Context, name, signal string) error {
	return a.ask("kill", name, signal)
}

// ConfirmPrune remembers, if the source is there with that hash.
func (a *Agent) ConfirmPrune(_ context.Context, source, hash string) error {
	for _, s := range a.Sources() {
		if s.Name == source && s.Hash == hash {
			return a.ask("prune", source, hash)
		}
	}
	return fmt.Errorf("source %q has no hash %q: %w", source, hash, fs.ErrNotExist)
}

// Logs gives the lines added.
func (a *Agent) Logs(_ context.Context, name string, o api.LogOptions) (iter.Seq2[api.LogLine, error], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	lines := slices.Clone(a.lines[name])
	if o.Stream != "" {
		lines = slices.DeleteFunc(lines, func(l api.LogLine) bool { return l.Stream != o.Stream })
	}
	if o.Tail >= 0 {
		lines = lines[max(0, len(lines)-o.Tail):]
	}
	return func(yield func(api.LogLine, error) bool) {
		for _, l := range lines {
			if !yield(l, nil) {
				return
			}
		}
	}, nil
}

// Features are one that is there and one that is not.
func (a *Agent) Features(context.Context) map[string]error {
	return map[string]error{"cgroup.kill": nil, "memory.max": fmt.Errorf("memory controller not enabled")}
}
