package simnode_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// settling is how long everything may take when faults have ended: what is restored from bad images ends again and again, until the last of them is
// left out.
const settling = 10 * time.Minute

// calm ends faults for a while, makes everything visible, and looks whether what is asked for comes.
func (s *simulation) calm(string) {
	s.say("calm")
	s.mend()
	s.rest(20 * time.Second)
	s.confirm()
	s.rest(settling)
	s.late = append(s.late, s.oracle.Converged(s.machine, append(s.unclaimed(), s.oracle.Returned()...)...)...)
	s.faults.Off(false)
}

// mend ends all faults, makes all manifests whole, readable and such that they can be kept up.
func (s *simulation) mend() {
	s.faults.Off(true)
	s.machine.Full(false)
	s.hidden = false
	s.folder.Hide(false)
	s.rest(20 * time.Second)
	if name := s.oracle.Circle(); name != "" { // those that are asked for are opened next
		s.late = append(s.late, name+" depends on itself by what is in force")
	}
	for _, name := range names {
		s.answers(name, simnode.Healthy, true)
		if c := s.puts[name]; s.files[name] != "" && (s.broken[name] || !reflect.DeepEqual(c, lasting(c))) {
			s.write(name, lasting(c))
		}
	}
	s.open()
	s.see()
}

// unclaimed are the names that lost both their record and their manifest: nobody ever saw their removal.
func (s *simulation) unclaimed() (list []string) {
	for _, source := range s.agent.Sources() {
		if source.Name == reconcile.SourceUnclaimed {
			list = append(list, source.Blocked...)
		}
	}
	return list
}

// finish ends all faults, makes all manifests whole, asks for states by hand and clears them, and gives what is wrong after a while.
func (s *simulation) finish() error {
	s.say("finish")
	s.release()
	s.mend()
	s.undrained()
	s.rest(40 * time.Second)
	s.confirm()
	s.insist()
	s.clear()
	time.Sleep(2 * time.Minute)
	for _, name := range s.unclaimed() {
		s.oracle.Forgets(name)
	}
	for range 4 {
		s.knock()
		time.Sleep(time.Minute)
	}
	time.Sleep(settling)
	verbs := s.oracle.Verbs()
	time.Sleep(settling)
	for name, now := range s.oracle.Verbs() {
		if more := now - verbs[name]; more > 0 && !s.spoiled(name) { // whose earlier manifest, that is in force then, may be of what ends again and again
			s.late = append(s.late, fmt.Sprintf("%d verbs about %s after everything had settled", more, name))
		}
	}
	s.late = append(s.late, s.planned()...)
	s.late = append(s.late, s.oracle.Converged(s.machine)...)
	for _, name := range s.oracle.Returned() {
		if slices.ContainsFunc(s.machine.Instances()[name], runs) && !s.oracle.EndedBefore(name) && !s.spoiled(name) { // what failed and is not started again proves nothing
			s.late = append(s.late, name+": an earlier manifest is in force")
		}
	}
	s.late = append(s.late, s.machine.Strayed(s.unclaimed()...)...)
	if len(s.machine.Instances()["foreign"]) != 1 {
		s.late = append(s.late, "the foreign container is gone")
	}
	if len(s.late) == 0 { // all has run so long by now that earlier crashes are forgotten
		s.knock()
		time.Sleep(3 * time.Second)
		for _, why := range s.oracle.Converged(s.machine, s.slow()...) {
			s.late = append(s.late, "3s after one crash, "+why)
		}
	}
	var errs []error
	for _, v := range s.wrong() {
		errs = append(errs, errors.New(v))
	}
	return errors.Join(errs...)
}

// spoiled tells whether a manifest may not have proven itself because its first run came from an image of a process that was about to end.
func (s *simulation) spoiled(name string) bool {
	return slices.Contains(s.oracle.Returned(), name) && (s.machine.Poisoned(name) || s.machine.Poisoned(s.puts[name].Spec.Checkpoint.From))
}

func runs(in spec.Instance) bool { return in.Pid != 0 }

// release gives records back that were a newer agent's.
func (s *simulation) release() {
	for _, name := range names {
		if s.held[name] {
			s.hold(name)
		}
	}
}

// insist stops some containers by hand, and kills the agent: they have to stay stopped.
func (s *simulation) insist() {
	var stopped []string
	for i, name := range names {
		if i%2 == len(s.files)%2 {
			continue
		}
		done := s.oracle.Hand(name)
		if s.agent.Override(s.t.Context(), name, spec.Override{State: spec.StateStopped}) == nil {
			stopped = append(stopped, name)
		}
		done()
	}
	time.Sleep(20 * time.Second)
	s.end(true)
	s.start()
	time.Sleep(4 * time.Minute) // who does not heed its signal is killed after 30 s, and may wait for others that depend on it
	for name, all := range s.machine.Instances() {
		if slices.Contains(stopped, name) && slices.ContainsFunc(all, runs) && s.agentKnows(name) {
			s.late = append(s.late, name+" runs, although it was stopped by hand")
		}
	}
}

// clear ends what was set by hand.
func (s *simulation) clear() {
	for _, name := range names {
		done := s.oracle.Hand(name)
		_ = s.agent.Override(s.t.Context(), name, spec.Override{})
		done()
	}
}

// knock crashes what is to be restarted.
func (s *simulation) knock() {
	for _, name := range names {
		if c := s.puts[name].Spec; c.Restart.Policy != spec.RestartNever && c.State == "" && c.Job.IsZero() && !c.Checkpoints() && c.Group == "" {
			s.machine.Crash(name, 1)
		}
	}
}

// slow are names that take their time to begin: others, or they themselves, have to answer first.
func (s *simulation) slow() (list []string) {
	for _, name := range names {
		if c := s.puts[name].Spec; len(c.DependsOn) > 0 || !c.Job.IsZero() {
			list = append(list, name)
		}
	}
	return list
}

// planned are actions that an agent still has in mind.
func (s *simulation) planned() (list []string) {
	actions, err := s.agent.Plan(s.t.Context())
	if err != nil {
		return []string{err.Error()}
	}
	for _, a := range actions.Actions {
		begun := a.Verb == reconcile.VerbPostStart && s.puts[a.Name].Spec.Job.Scheduled() // the latest run has
		if !a.Scheduled && a.Tick.Time.IsZero() && !begun {
			list = append(list, fmt.Sprintf("%s of %s/%d is planned after everything had settled: %s", a.Verb, a.Name, a.Instance, a.Cause))
		}
	}
	return list
}
