package simnode_test

import (
	"context"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// What happens to a node and its agent in simulations, besides manifests.

func (s *simulation) crash(name string) {
	s.say("crash %s: %v", name, s.machine.Crash(name, s.r.IntN(2)))
}

func (s *simulation) starve(name string) {
	s.say("starve %s", name)
	if s.r.IntN(2) == 0 {
		s.machine.Starve(name, 1)
		return
	}
	s.machine.StarveFirst(name, s.r.IntN(2) == 0)
}

func (s *simulation) drift(name string) {
	s.say("drift %s", name)
	s.machine.Stray(name, spec.Drift{Field: "hostname", Found: "stray", Wanted: name, Repairable: true})
	s.machine.Drift(name, spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(7 << 20)}})
}

func (s *simulation) freeze(name string) {
	s.say("freeze %s", name)
	s.machine.Freeze(name, s.r.IntN(2) == 0)
}

func (s *simulation) wipe(name string) {
	s.say("wipe %s", name)
	s.machine.Wipe(name)
}

func (s *simulation) damage(name string) {
	s.say("damage %s: %v", name, s.machine.Damage(name, s.r.IntN(2) == 0))
}

// poison makes what begins from the newest image end soon, and has it begin there if its manifest says so.
func (s *simulation) poison(name string) {
	s.say("poison %s: %v", name, s.machine.Poison(name, time.Second))
	s.machine.Crash(name, 1)
}

// full leaves no room for images, for a while.
func (s *simulation) full(string) {
	full := s.r.IntN(2) == 0
	s.say("full %v", full)
	s.machine.Full(full)
}

func (s *simulation) lose(name string) {
	if s.r.IntN(2) == 0 {
		s.say("lose %s", name)
		s.machine.LoseRecord(name)
		return
	}
	if s.held[name] {
		return
	}
	s.say("tear %s", name)
	s.end(true)
	s.oracle.Blind(name, true)
	s.disk.Tear(name)
	s.away()
	s.see()
}

// hold makes a record one that this agent is too old for, or what it was.
func (s *simulation) hold(name string) {
	s.end(true)
	if newer := !s.held[name]; s.disk.Hold(name, newer) {
		s.say("hold %s %v", name, newer)
		s.held[name] = newer
		s.oracle.Holds(name, newer)
		s.see()
	}
	s.away()
}

func (s *simulation) killAgent(string) {
	s.say("kill agent")
	s.end(true)
	s.away()
}

// away is a time without an agent.
func (s *simulation) away() {
	time.Sleep(time.Duration(s.r.IntN(20)) * time.Second)
	s.start()
}

func (s *simulation) stopAgent(string) {
	s.say("stop agent")
	s.end(false)
	s.start()
}

func (s *simulation) reboot(string) {
	s.say("reboot")
	s.end(true)
	s.wipeAll()
	s.start()
}

// wipeAll is what a boot does to what agents made.
func (s *simulation) wipeAll() {
	for _, name := range names {
		s.machine.Wipe(name)
	}
}

// shutdown brings the node down, and up again after a boot or as if it had not gone.
func (s *simulation) shutdown(string) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Duration(1+s.r.IntN(40))*time.Second)
	defer cancel()
	by, _ := ctx.Deadline()
	s.oracle.Down(true, by, false)
	err := s.agent.Shutdown(ctx)
	s.say("shutdown: %v", err)
	if err == nil {
		for name, all := range s.machine.Instances() {
			for _, in := range all {
				if name != "foreign" && in.Pid != 0 && s.agentKnows(name) {
					s.late = append(s.late, name+" is up after the shutdown")
				}
			}
		}
	}
	s.end(true)
	s.downs()
	if s.r.IntN(2) == 0 {
		s.wipeAll()
		s.start()
	} else {
		s.away()
	}
}

// agentKnows tells whether the agent has a say in what a name does.
func (s *simulation) agentKnows(name string) bool {
	o, err := s.agent.Object(name)
	if err != nil {
		return false
	}
	for _, c := range o.Status.Conditions {
		if c.Type == spec.ConditionReady && c.Reason == reconcile.ReasonHeld {
			return false
		}
	}
	return true
}

// byHand asks the agent for something.
func (s *simulation) byHand(name string) {
	defer s.hands(name)()
	ctx := s.t.Context()
	asks := []struct {
		what string
		ask  func() error
	}{
		{"override", func() error {
			return s.agent.Override(ctx, name, spec.Override{State: pick(s, spec.StateStopped, spec.StatePaused, spec.StateRunning, spec.StateCheckpointed)})
		}},
		{"clear", func() error { return s.agent.Override(ctx, name, spec.Override{}) }},
		{"restart", func() error { return s.agent.Restart(ctx, name) }},
		{"kill", func() error { return s.agent.Kill(ctx, name, "SIGKILL") }},
		{"checkpoint", func() error { _, err := s.agent.Checkpoint(ctx, name, spec.CheckpointOptions{}); return err }},
		{"checkpoint --stop", func() error {
			_, err := s.agent.Checkpoint(ctx, name, spec.CheckpointOptions{Stop: true})
			return err
		}},
		{"restore", func() error { return s.agent.Restore(ctx, name, "") }},
		{"exec", func() error { _, err := s.agent.Exec(ctx, name, spec.Exec{Command: []string{"true"}}); return err }},
	}
	a := asks[s.r.IntN(len(asks))]
	s.say("%s %s by hand: %v", a.what, name, a.ask())
}
