package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/probe"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// newProber makes what asks the probes of all containers.
func (a *Agent) newProber() *probe.Prober {
	return probe.New(probe.Config{Dial: a.Node.Dial, Exec: a.execProbe, Changed: a.queue.Add})
}

// ask has the probes of what runs asked, and writes down what is known of its health.
func (a *Agent) ask(n *entry, desired *Desired, observed []spec.Instance) {
	in, t := a.target(n, desired, observed)
	if in.ID == 0 {
		a.prober.Remove(n.id)
		if desired != nil && wantedOf(desired, n.record).Spec.Probes == (spec.Probes{}) { // another manifest's have said it
			n.record.Health = record.Health{}
		}
		return
	}
	a.prober.Set(n.id, t)
	a.prober.Notified(n.id, in.ID, in.Starts, in.Notified)
	health, _ := a.prober.Health(n.id)
	n.record.Health = record.Health{Instance: in.ID, Starts: in.Starts, Health: health}
}

// target is what to ask of a name; an instance without a number when there is nothing to ask.
func (a *Agent) target(n *entry, desired *Desired, observed []spec.Instance) (spec.Instance, probe.Target) {
	if desired == nil || desired.Hold != "" {
		return spec.Instance{}, probe.Target{}
	}
	probes := wantedOf(desired, n.record).Spec.Probes
	in := (&world{Subject: Subject{Observed: observed}}).shown()
	if probes == (spec.Probes{}) || !live(in) {
		return spec.Instance{}, probe.Target{}
	}
	a.mu.Lock()
	frozen := a.frozen[n.group] > 0
	a.mu.Unlock()
	t := probe.Target{
		Instance: in.ID, Starts: in.Starts, StartedAt: in.StartedAt, Probes: probes,
		Suspended: frozen || in.Phase == spec.InstancePaused || !in.Stopping.IsZero(),
	}
	if h := n.record.Health; h.Instance == in.ID && h.Starts == in.Starts {
		t.Health = h.Health
	}
	return in, t
}

// quieting are the verbs during which nothing is asked: who is frozen or ends gives no answers that mean anything.
var quieting = map[string]bool{VerbCheckpoint: true, VerbPause: true, VerbStop: true, VerbKill: true, VerbDestroy: true}

// quiet stops the questions to a name until the next look at it; what an image is taken of together with it is asked nothing until the end.
func (a *Agent) quiet(action Action) (end func()) {
	if !quieting[action.Verb] {
		return func() {}
	}
	group := a.groupOf(action.Name)
	if action.Verb != VerbCheckpoint || group == "" {
		a.prober.Suspend(action.Name)
		return func() {}
	}
	members := a.freeze(group, 1)
	for _, name := range members {
		a.prober.Suspend(name)
	}
	return func() {
		for _, name := range a.freeze(group, -1) {
			a.queue.Add(name)
		}
	}
}

// freeze notes that an image of a group is begun or ended, and gives its members.
func (a *Agent) freeze(group string, by int) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.frozen[group] += by
	return a.membersOf(group)
}

func (a *Agent) groupOf(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.names[name]; n != nil {
		return n.group
	}
	return ""
}

// execProbe runs the command of a probe, in the turn of its name as far as its start is concerned.
func (a *Agent) execProbe(ctx context.Context, name string, instance uint64, command []string) (int, []byte, error) {
	return probe.Run(ctx, command, func(ctx context.Context, e spec.Exec) (spec.Session, error) {
		n, err := a.enter(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("%q is being worked on: %w", name, spec.ErrBusy)
		}
		defer n.leave()
		return a.execNow(ctx, name, instance, e)
	})
}

// execNow starts a command in an instance in the turn of its name, which the caller has.
func (a *Agent) execNow(ctx context.Context, name string, instance uint64, e spec.Exec) (spec.Session, error) {
	return a.within(ctx, instance, func(ctx context.Context, id uint64) (spec.Session, error) {
		session, err := a.Node.Exec(ctx, name, id, e)
		return session, commandError(err)
	})
}

// undecided tells whether a process runs of which nothing has said yet that it is ready, or why it is not.
func undecided(s spec.Status) bool {
	if s.Phase == spec.PhaseStarting {
		return s.Container.Pid != 0
	}
	return s.Phase == spec.PhaseRunning && !s.Container.Ready && slices.ContainsFunc(s.Conditions, func(c spec.Condition) bool {
		return c.Type == spec.ConditionReady && c.Reason == ReasonNotReady && c.Message == ""
	})
}

// tellHealth tells of a container that is ready now, or not any more.
func (a *Agent) tellHealth(n *entry, before record.Health) {
	now := n.record.Health
	same := now.Instance == before.Instance && now.Starts == before.Starts
	switch {
	case now.Health == before.Health && same, now.Instance == 0:
	case now.Ready && !(same && before.Ready):
		a.tell(Event{Name: n.id, Reason: "Healthy"})
	case same && (before.Ready && !now.Ready || before.Live && !now.Live):
		a.tell(Event{Name: n.id, Warning: true, Reason: "Unhealthy", Message: now.Message})
	}
}
