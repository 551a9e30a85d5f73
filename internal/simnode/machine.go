// Package simnode is a node in memory: a reconcile.Node whose processes are timers and whose faults come from a seed, a store and a
// source of the same kind, and an oracle that judges what an agent does to them. It knows the laws of the seams; it refuses to know
// how an agent decides, so that it can tell when one decides wrongly.
package simnode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Machine is what outlives agents: instances and their processes. Agents reach it through Attach.
type Machine struct {
	mu        sync.Mutex
	instances map[string][]*instance // by name, oldest first
	pids      int
	sessions  []*Node
	images    map[string][]*image // by name, oldest first
	newest    map[string]string   // the newest id an image of the name ever had
	// unable says why no image is taken or restored here, full that there is no room for one, uncheckpointable of which names none can be taken.
	unable           error
	full             bool
	slow             time.Duration // how long an image takes
	uncheckpointable map[string]bool
	refused          map[string]bool   // of which names the latest image was
	misfits          []string          // what was asked of it that nobody may ask for
	answers          map[string]Answer // by name, what whoever connects finds
	given            map[*instance][]spec.Projection
	unrepaired       map[string]Mending
	looked           time.Time // the latest time somebody did
	looks            int       // and how often by then
	// Judge is told of every effective verb before it takes effect, with the instances of the name as they are then.
	Judge func(verb string, name string, id uint64, instances []spec.Instance)
	// Watch is told after every change of a process, with the instances of the name as they are then.
	Watch func(name string, instances []spec.Instance)
}

// Nowhere is a rootfs path that every machine refuses for good.
const Nowhere = "/nowhere"

// instance is an instance with its process.
type instance struct {
	spec.Instance
	command program     // of its spec
	program program     // of its process, which may have come from an image
	ends    *time.Timer // of the process by itself
	endsAt  time.Time
	kills   *time.Timer // at the stop deadline
	frozen  time.Time   // since when, the latest time
	asked   time.Time   // when it was asked to end, the latest time
	vain    int         // how often somebody connected although it could not answer
	drifts  []spec.Drift
}

// New is a machine on which nothing runs.
func New() *Machine {
	return &Machine{
		instances: map[string][]*instance{}, pids: 1000,
		images: map[string][]*image{}, newest: map[string]string{}, uncheckpointable: map[string]bool{}, refused: map[string]bool{},
		answers: map[string]Answer{}, given: map[*instance][]spec.Projection{}, unrepaired: map[string]Mending{},
	}
}

// all are the instances of one name, as values.
func (m *Machine) all(name string) []spec.Instance {
	list := make([]spec.Instance, 0, len(m.instances[name]))
	for _, in := range m.instances[name] {
		copied := in.Instance
		if in.Exit != nil {
			exit := *in.Exit
			copied.Exit = &exit
		}
		list = append(list, copied)
	}
	return list
}

// Instances are all instances there are, by name.
func (m *Machine) Instances() map[string][]spec.Instance {
	m.mu.Lock()
	defer m.mu.Unlock()
	shown := map[string][]spec.Instance{}
	for name := range m.instances {
		shown[name] = m.all(name)
	}
	return shown
}

func (m *Machine) find(name string, id uint64) (*instance, error) {
	for _, in := range m.instances[name] {
		if in.ID == id {
			return in, nil
		}
	}
	return nil, fmt.Errorf("no instance %d of %q: %w", id, name, fs.ErrNotExist)
}

// usable is find without broken ones.
func (m *Machine) usable(name string, id uint64) (*instance, error) {
	in, err := m.find(name, id)
	if err == nil && in.Phase == spec.InstanceBroken {
		return nil, fmt.Errorf("instance %d of %q is broken: %w", id, name, fs.ErrNotExist)
	}
	return in, err
}

// judge lets the judge look before something is done.
func (m *Machine) judge(verb, name string, id uint64) {
	if m.Judge != nil {
		m.Judge(verb, name, id, m.all(name))
	}
}

// changed lets who watches look after something has changed.
func (m *Machine) changed(name string) {
	if m.Watch != nil {
		m.Watch(name, m.all(name))
	}
}

// tell hints at a name in every session.
func (m *Machine) tell(name string, kind spec.EventKind) {
	for _, s := range m.sessions {
		s.hint(spec.Event{Name: name, Kind: kind})
	}
}

func (m *Machine) observe(name string) []spec.Instance { return m.all(name) }

// restless is how often nobody looks at one moment who leaves time to pass at all.
const restless = 20_000

// rests tells whether who looks leaves time to pass, as it has to. Who did not once never does again.
func (m *Machine) rests(name string) bool {
	if m.looks > restless {
		return false
	}
	if now := time.Now(); !now.Equal(m.looked) {
		m.looked, m.looks = now, 0
	}
	if m.looks++; m.looks > restless {
		m.misfits = append(m.misfits, fmt.Sprintf("%s is looked at the last of %d times while no time passes", name, m.looks))
	}
	return m.looks <= restless
}

func (m *Machine) names() []string { return slices.Sorted(maps.Keys(m.instances)) }

func (m *Machine) create(c spec.Container, id uint64, defaults int) error {
	name, hash := c.Metadata.Name, spec.Identity(c, defaults)
	if in, err := m.find(name, id); err == nil {
		if in.Phase != spec.InstanceBroken && in.Hash == hash {
			return nil
		}
		return fmt.Errorf("instance %d of %q is there: %w", id, name, fs.ErrExist)
	}
	if c.Spec.Rootfs.Path == Nowhere {
		return fmt.Errorf("no rootfs at %s: %w", Nowhere, fs.ErrInvalid)
	}
	m.judge("Create", name, id)
	m.instances[name] = append(m.instances[name], &instance{command: parse(c.Spec.Command), Instance: spec.Instance{
		Name: name, ID: id, Phase: spec.InstanceCreated, Spec: c, Hash: hash, Defaults: defaults,
		Resources: c.Spec.Resources, Wanted: c.Spec.Resources,
	}})
	slices.SortFunc(m.instances[name], func(a, b *instance) int { return cmp.Compare(a.ID, b.ID) })
	return nil
}

func (m *Machine) start(name string, id uint64) error {
	in, err := m.usable(name, id)
	if err != nil || live(in) {
		return err
	}
	if err := m.configured(in); err != nil {
		return err
	}
	m.judge("Start", name, id)
	m.begin(in, in.command)
	return nil
}

// begin begins a run.
func (m *Machine) begin(in *instance, p program) {
	m.pids++
	in.program = p
	in.Phase, in.Pid, in.Exit = spec.InstanceRunning, m.pids, nil
	in.Starts++
	in.StartedAt = time.Now().Round(0)
	in.Stopping = spec.Stopping{}
	in.Notified, in.vain = spec.Notified{Socket: in.Spec.Spec.Probes.Notify()}, 0
	m.runs(in)
	m.changed(in.Name)
}

// runs sets the end of a process that ends by itself. A frozen process does not run on, so its end is set anew when it is thawed.
func (m *Machine) runs(in *instance) {
	if !in.program.ends {
		return
	}
	start := in.Starts
	in.endsAt = time.Now().Add(in.program.after)
	in.ends = time.AfterFunc(in.program.after, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if in.Starts == start && in.Phase == spec.InstanceRunning {
			m.exit(in, in.program.code, "", cmp.Or(reasonOf(in.program.code), spec.ExitCompleted))
		}
	})
}

func reasonOf(code int) string {
	if code != 0 {
		return spec.ExitError
	}
	return ""
}

// halt takes back the ends that are to come.
func (in *instance) halt() {
	for _, t := range []*time.Timer{in.ends, in.kills} {
		if t != nil {
			t.Stop()
		}
	}
}

// exit ends a process.
func (m *Machine) exit(in *instance, code int, signal, reason string) {
	in.halt()
	in.Exit = &spec.Exit{Code: code, Signal: signal, Reason: reason, Pid: in.Pid, StartedAt: in.StartedAt, FinishedAt: time.Now().Round(0)}
	in.Phase, in.Pid, in.Stopping, in.drifts = spec.InstanceExited, 0, spec.Stopping{}, nil
	m.changed(in.Name)
	m.tell(in.Name, spec.EventExit)
}

func (m *Machine) stop(name string, id uint64, signal string, timeout time.Duration) error {
	in, err := m.usable(name, id)
	if err != nil || !live(in) {
		return err
	}
	if _, ok := spec.Signals[signal]; !ok {
		return fmt.Errorf("no signal %q: %w", signal, fs.ErrInvalid)
	}
	if in.Stopping.IsZero() {
		m.judge("Stop", name, id)
	}
	in.Phase, in.asked = spec.InstanceRunning, time.Now()
	reaction, handled := in.program.traps[signal]
	switch {
	case !handled:
		m.exit(in, 128+9, "SIGKILL", spec.ExitStopSignalUnhandled)
		return nil
	case reaction.exits:
		m.exit(in, reaction.code, "", spec.ExitStopped)
		return nil
	}
	deadline := time.Now().Add(timeout).Round(0)
	if !in.Stopping.IsZero() && in.Stopping.Deadline.Before(deadline) {
		return nil
	}
	if in.kills != nil {
		in.kills.Stop()
	}
	in.Stopping = spec.Stopping{Signal: signal, Deadline: deadline, Reason: spec.ExitStopped}
	m.changed(name)
	start := in.Starts
	in.kills = time.AfterFunc(timeout, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if in.Starts == start && live(in) {
			m.exit(in, 128+9, "SIGKILL", spec.ExitStopTimeout)
		}
	})
	return nil
}

func (m *Machine) kill(name string, id uint64, signal string) error {
	in, err := m.usable(name, id)
	if err != nil || !live(in) {
		return err
	}
	if _, ok := spec.Signals[signal]; !ok {
		return fmt.Errorf("no signal %q: %w", signal, fs.ErrInvalid)
	}
	m.judge("Kill", name, id)
	if reaction := in.program.traps[signal]; reaction.exits {
		m.exit(in, reaction.code, "", spec.ExitKilled)
	}
	if signal == "SIGKILL" {
		m.exit(in, 128+9, signal, spec.ExitKilled)
	}
	return nil
}

func (m *Machine) update(c spec.Container, id uint64) error {
	in, err := m.usable(c.Metadata.Name, id)
	if err != nil {
		return err
	}
	if spec.Identity(c, in.Defaults) != in.Hash {
		return fmt.Errorf("instance %d needs a successor: %w", id, fs.ErrInvalid)
	}
	m.judge("Update", in.Name, id)
	in.Spec, in.Wanted, in.Resources = c, c.Spec.Resources, c.Spec.Resources
	return nil
}

func (m *Machine) pause(name string, id uint64) error {
	in, err := m.usable(name, id)
	switch {
	case err != nil:
		return err
	case !live(in):
		return fmt.Errorf("instance %d of %q is %s: %w: %w", id, name, in.Phase, spec.ErrNotRunning, fs.ErrInvalid)
	}
	m.judge("Pause", name, id)
	if in.ends != nil {
		in.ends.Stop()
	}
	in.freeze()
	m.changed(name)
	return nil
}

func (in *instance) freeze() {
	if in.Phase != spec.InstancePaused {
		in.Phase, in.frozen = spec.InstancePaused, time.Now()
	}
}

func (m *Machine) exec(name string, id uint64) error {
	in, err := m.usable(name, id)
	switch {
	case err != nil:
		return err
	case in.Phase == spec.InstancePaused && time.Since(in.frozen) > lag:
		m.misfits = append(m.misfits, fmt.Sprintf("Exec in %s, which is frozen", name))
	case in.Phase != spec.InstanceRunning:
		return fmt.Errorf("instance %d of %q is %s: %w", id, name, in.Phase, spec.ErrNotRunning)
	}
	return errors.ErrUnsupported
}

func (m *Machine) resume(name string, id uint64) error {
	in, err := m.usable(name, id)
	if err != nil || in.Phase != spec.InstancePaused {
		return err
	}
	m.judge("Resume", name, id)
	in.Phase = spec.InstanceRunning
	m.runs(in)
	m.changed(name)
	return nil
}

func (m *Machine) destroy(name string, id uint64, keep bool) {
	m.destroyOne(name, id)
	if !keep && len(m.instances[name]) == 0 {
		m.forget(name, id)
	}
}

func (m *Machine) destroyOne(name string, id uint64) {
	in, err := m.find(name, id)
	if err != nil {
		return
	}
	m.judge("Destroy", name, id)
	if live(in) {
		m.exit(in, 128+9, "SIGKILL", spec.ExitKilled)
	}
	m.instances[name] = slices.DeleteFunc(m.instances[name], func(i *instance) bool { return i == in })
	if len(m.instances[name]) == 0 {
		delete(m.instances, name)
	}
	m.changed(name)
}

func live(in *instance) bool {
	return in.Phase == spec.InstanceRunning || in.Phase == spec.InstancePaused
}

// Features are all there.
func (m *Machine) features(context.Context) map[string]error {
	return map[string]error{"memory": nil, "freeze": nil}
}
