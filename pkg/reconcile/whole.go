package reconcile

import (
	"context"
	"time"
)

// planPatience is how long the plan of the node waits for the turns of all its names together: a look at one is short, unless the node does not answer.
const planPatience = time.Second

// Plan is what the agent would do now, from what it saw last: nothing is asked of the node. Of a name for which a verb is under way it is that verb, and of one
// whose turn others have for too long what its status says.
func (a *Agent) Plan(ctx context.Context) (Actions, error) {
	list, _ := a.objects.List()
	patient, cancel := context.WithTimeout(ctx, planPatience)
	defer cancel()
	var actions Actions
	for _, object := range list {
		name := object.Metadata.Name
		of, busy := a.underWay(name)
		if !busy {
			var err error
			if of, err = a.planOf(patient, name); err != nil {
				of = a.shownPlan(name)
			}
		}
		actions.Actions = append(actions.Actions, of...)
	}
	return actions, ctx.Err()
}

// planOf is the plan of one name, in its turn.
func (a *Agent) planOf(ctx context.Context, name string) ([]Action, error) {
	n, err := a.enter(ctx, name)
	if err != nil {
		return nil, err
	}
	defer n.leave()
	desired, removed := a.wants(n)
	a.mu.Lock()
	observed := n.observed
	a.mu.Unlock()
	s := a.subject(n, desired, observed)
	s.Record.Removed = removed
	return Plan(s, now()).Actions, nil
}

// shownPlan is what is to be done about a name as its status says, or the verb that has begun meanwhile.
func (a *Agent) shownPlan(name string) (actions []Action) {
	if of, busy := a.underWay(name); busy {
		return of
	}
	object, _ := a.Object(name) // one that is gone meanwhile has none
	for _, p := range object.Status.Pending {
		actions = append(actions, Action{Name: name, Instance: object.Status.Container.Instance, Verb: p.Verb, Cause: p.Cause})
	}
	return actions
}

// deed is a verb that is under way for a name; the zero value is none.
type deed struct {
	action Action
	since  time.Time
}

// begins notes that a verb is under way, until the function it gives is called.
func (a *Agent) begins(action Action) (end func()) {
	note := func(d deed) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if n := a.names[action.Name]; n != nil {
			n.deed = d
		}
	}
	note(deed{action, now()})
	return func() { note(deed{}) }
}

// underWay is the verb that is under way for a name, if there is one, with a cause that says since when.
func (a *Agent) underWay(name string) (list []Action, busy bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.names[name]
	if n == nil || n.deed.since.IsZero() {
		return nil, false
	}
	action := n.deed.action
	action.Cause += "; under way since " + n.deed.since.Format(time.DateTime)
	return []Action{action}, true
}
