package simnode_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// equip writes a manifest with words that put does not know.
func (s *simulation) equip(name string) {
	c := s.container(name)
	for _, w := range words {
		if s.r.IntN(w.oneIn) == 0 {
			w.say(s, &c)
		}
	}
	s.write(name, c)
}

// words are what manifests say of others and of themselves, and how often.
var words = []struct {
	oneIn int
	say   func(*simulation, *spec.Container)
}{
	{2, func(s *simulation, c *spec.Container) { c.Spec.DependsOn = s.dependencies(c.Metadata.Name) }},
	{4, func(s *simulation, c *spec.Container) { c.Spec.Restart.MaxRestarts = 1 + s.r.IntN(3) }},
	{6, func(s *simulation, c *spec.Container) {
		c.Spec.Deadline = pick(s, spec.Duration(20*time.Second), spec.Duration(time.Minute))
	}},
	{4, func(s *simulation, c *spec.Container) {
		c.Spec.Restart.Rules = []spec.RestartRule{pick(s,
			spec.RestartRule{ExitCodes: []int{1}, Action: spec.ActionStop}, spec.RestartRule{Signals: []string{"SIGKILL"}, Action: spec.ActionRestart},
			spec.RestartRule{Reasons: []spec.ExitReason{spec.ExitUnhealthy}, Action: spec.ActionStop})}
	}},
	{4, func(s *simulation, c *spec.Container) { c.Spec.Probes.Liveness = s.probe() }},
	{4, func(s *simulation, c *spec.Container) { c.Spec.Probes.Readiness = s.probe() }},
	{5, func(s *simulation, c *spec.Container) { c.Spec.Probes.Startup = s.probe() }},
	{5, func(s *simulation, c *spec.Container) { c.Spec.Lifecycle.PostStart = s.handler() }},
	{5, func(s *simulation, c *spec.Container) { c.Spec.Lifecycle.PreStop = s.handler() }},
	{3, func(s *simulation, c *spec.Container) {
		c.Spec.Update = spec.Update{
			HealthyWithin: pick(s, 0, spec.Duration(20*time.Second), spec.Duration(time.Minute)), HealthyFor: pick(s, 0, spec.Duration(3*time.Second)),
			OnFailure: pick(s, "", spec.FailureRollback, spec.FailureKeep), History: s.r.IntN(3),
		}
	}},
	{12, func(_ *simulation, c *spec.Container) { c.Spec.Suspend = true }},
	{3, func(s *simulation, c *spec.Container) {
		c.Spec.DeletionPolicy = pick(s, spec.DeletionStop, spec.DeletionOrphan, spec.DeletionCheckpoint)
	}},
	{5, (*simulation).job},
}

// dependencies are some on other names, on a group, or on nothing there is.
func (s *simulation) dependencies(name string) (list []spec.Dependency) {
	for _, other := range []string{pick(s, names...), pick(s, "a", "b", "g", "ghost", "c")} {
		if other != name && !slices.ContainsFunc(list, func(d spec.Dependency) bool { return d.Name == other }) && s.r.IntN(3) > 0 {
			list = append(list, spec.Dependency{Name: other, Condition: pick(s, "", spec.MilestoneReady, spec.MilestoneStarted, spec.MilestoneStarted, spec.MilestoneCompleted)})
		}
	}
	return list
}

func (s *simulation) probe() *spec.Probe {
	return &spec.Probe{
		HTTP: &spec.HTTPProbe{Port: 80}, Period: spec.Duration(2+s.r.IntN(4)) * spec.Duration(time.Second), FailureThreshold: 1 + s.r.IntN(3),
		InitialDelay: pick(s, 0, 0, spec.Duration(3*time.Second)),
	}
}

func (s *simulation) handler() *spec.Handler {
	if s.r.IntN(2) == 0 {
		return &spec.Handler{Sleep: spec.Duration(1+s.r.IntN(3)) * spec.Duration(time.Second)}
	}
	return &spec.Handler{HTTP: &spec.HTTPProbe{Port: 80}, Timeout: spec.Duration(2 * time.Second)}
}

// job makes a container that of a job, as Job.Expand does.
func (s *simulation) job(c *spec.Container) {
	c.Spec.State, c.Spec.Group, c.Spec.Checkpoint = "", "", spec.Checkpoint{}
	c.Spec.Command[2] = pick(s, "sleep 5; exit 0", "sleep 100; exit 0", "exit 0", "sleep 0.2; exit 1")
	c.Spec.Restart.Policy = pick(s, spec.RestartOnFailure, spec.RestartNever)
	c.Spec.Job.History = 3
	if s.r.IntN(2) == 0 {
		c.Spec.Job.Schedule = spec.Schedule{
			Cron: pick(s, "* * * * *", "*/2 * * * *"), TimeZone: "UTC", Concurrency: pick(s, "", spec.ConcurrencyForbid, spec.ConcurrencyReplace),
			StartingDeadline: pick(s, 0, 0, spec.Duration(30*time.Second)),
		}
	}
}

// tie changes nothing but what a container depends on.
func (s *simulation) tie(name string) {
	c, ok := s.puts[name]
	if s.files[name] == "" || !ok {
		return
	}
	c.Spec.DependsOn = s.dependencies(name)
	s.write(name, c)
}

// answer changes what the container says when it is asked.
func (s *simulation) answer(name string) {
	answers := map[string]simnode.Answer{"healthy": simnode.Healthy, "failing": simnode.Failing, "refusing": simnode.Refusing, "hanging": simnode.Hanging}
	a := pick(s, "healthy", "healthy", "healthy", "failing", "refusing", "hanging")
	s.say("answer %s %s", name, a)
	s.answers(name, answers[a], a == "healthy")
}

func (s *simulation) answers(name string, a simnode.Answer, healthy bool) {
	s.oracle.Answers(name, healthy)
	s.machine.Answer(name, a)
}

// suspend suspends a container by hand, or sets a state, for a while or for good.
func (s *simulation) suspend(name string) {
	defer s.hands(name)()
	o := spec.Override{Suspended: true}
	if s.r.IntN(3) == 0 {
		o = spec.Override{State: pick(s, spec.StateStopped, spec.StatePaused)}
	}
	if s.r.IntN(2) == 0 {
		o.Until = time.Now().Add(time.Duration(1+s.r.IntN(60)) * time.Second).Round(0).UTC()
	}
	s.say("override %s %+v: %v", name, o, s.agent.Override(s.t.Context(), name, o))
}

// undo returns to an earlier manifest by hand, or to the newest.
func (s *simulation) undo(name string) {
	defer s.hands(name)()
	if s.r.IntN(3) == 0 {
		s.say("clear %s: %v", name, s.agent.Override(s.t.Context(), name, spec.Override{}))
		return
	}
	s.say("undo %s: %v", name, s.agent.Undo(s.t.Context(), name, 0))
}

// hands tells that somebody asks for something of a name. What is asked of one of a group may be done to all.
func (s *simulation) hands(name string) (done func()) {
	var all []func()
	for _, member := range names {
		if member == name || member >= "d" && name >= "d" {
			all = append(all, s.oracle.Hand(member))
		}
	}
	return func() {
		for _, done := range all {
			done()
		}
	}
}

// drain drains the node, or ends that.
func (s *simulation) drain(string) {
	if d := s.disk.Drained(); !d.IsZero() && s.r.IntN(3) > 0 {
		s.say("undrain: %v", undrains(s))
		return
	}
	s.drainNow(time.Duration(1+s.r.IntN(40))*time.Second, s.r.IntN(3) == 0)
}

func (s *simulation) drainNow(within time.Duration, checkpoint bool) {
	ctx, cancel := context.WithTimeout(s.t.Context(), within)
	defer cancel()
	s.say("drain, images %v", checkpoint)
	s.oracle.Down(true, time.Time{}, checkpoint)
	s.say("drain: %v", s.agent.Drain(ctx, checkpoint))
	s.downs()
}

// downs tells the oracle whether the node is drained.
func (s *simulation) downs() {
	d := s.disk.Drained()
	s.oracle.Down(!d.IsZero(), time.Time{}, d.Checkpoint)
}

// undrained ends it for good.
func (s *simulation) undrained() {
	for range 5 {
		if undrains(s) == nil {
			break
		}
		s.rest(time.Second)
	}
}

// lasting is a manifest such that what it says can be kept up.
func lasting(c spec.Container) spec.Container {
	c.Spec.Rootfs.Path, c.Spec.Deadline, c.Spec.Suspend = "/srv", 0, false
	c.Spec.Restart.MaxRestarts, c.Spec.Restart.Rules = 0, nil
	c.Spec.Command = slices.Clone(c.Spec.Command)
	switch script := &c.Spec.Command[2]; {
	case c.Spec.Job.History > 0 && strings.HasSuffix(*script, "exit 1"):
		*script = "sleep 5; exit 0"
	case c.Spec.Job.History == 0 && (strings.HasSuffix(*script, "exit 1") || strings.HasPrefix(*script, "sleep")):
		*script = "one"
	}
	return c
}

// open removes dependencies until there are no circles.
func (s *simulation) open() {
	for _, name := range names {
		for s.files[name] != "" && s.around(name, name, nil) {
			c := s.puts[name]
			c.Spec.DependsOn = nil
			s.write(name, c)
		}
	}
}

func (s *simulation) around(from, to string, seen []string) bool {
	if slices.Contains(seen, from) {
		return false
	}
	for _, d := range s.puts[from].Spec.DependsOn {
		for _, next := range names {
			if s.files[next] != "" && (next == d.Name || s.puts[next].Spec.Group == d.Name) && (next == to || s.around(next, to, append(slices.Clone(seen), from))) {
				return true
			}
		}
	}
	return false
}

// said is what a container says of others and of itself, for a log.
func said(c spec.Container) string {
	sp := c.Spec
	var list []string
	add := func(is bool, format string, args ...any) {
		if is {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	add(len(sp.DependsOn) > 0, "dependsOn %v", sp.DependsOn)
	add(len(sp.Restart.Rules)+sp.Restart.MaxRestarts > 0, "rules %v max %d", sp.Restart.Rules, sp.Restart.MaxRestarts)
	add(sp.Deadline > 0, "deadline %v", sp.Deadline)
	for what, p := range map[string]*spec.Probe{"liveness": sp.Probes.Liveness, "readiness": sp.Probes.Readiness, "startup": sp.Probes.Startup} {
		add(p != nil, "%s %+v", what, p)
	}
	add(sp.Lifecycle.PostStart != nil, "postStart %+v", sp.Lifecycle.PostStart)
	add(sp.Lifecycle.PreStop != nil, "preStop %+v", sp.Lifecycle.PreStop)
	add(sp.Update != spec.Update{}, "update %+v", sp.Update)
	add(sp.Suspend, "suspend")
	add(sp.DeletionPolicy != "", "deletionPolicy %s", sp.DeletionPolicy)
	add(!sp.Job.IsZero(), "job %+v", sp.Job)
	return strings.Join(list, ", ")
}
