package simnode_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// simulation is a world in one bubble of time: somebody edits manifests, processes crash, faults happen, agents die, and an oracle
// looks on.
type simulation struct {
	t       *testing.T
	r       *rand.Rand
	machine *simnode.Machine
	disk    *simnode.Disk
	folder  *simnode.Folder
	oracle  *simnode.Oracle
	faults  *simnode.Faults
	files   map[string]string // file of each name
	puts    map[string]spec.Container
	broken  map[string]bool
	hidden  bool
	log     []string
	late    []string // what was up when the node was to be down

	agent *reconcile.Agent
	node  *simnode.Node
	done  chan error
	stop  context.CancelFunc

	variant func(reconcile.Node) reconcile.Node // a node with a planted bug
	blinded func(reconcile.Source) reconcile.Source
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{
		t: t, r: rand.New(rand.NewPCG(seed, 1)), machine: simnode.New(), disk: simnode.NewDisk(), folder: simnode.NewFolder("main"),
		oracle: simnode.NewOracle(), faults: simnode.NewFaults(seed), files: map[string]string{}, puts: map[string]spec.Container{}, broken: map[string]bool{},
		variant: func(n reconcile.Node) reconcile.Node { return n },
		blinded: func(s reconcile.Source) reconcile.Source { return s },
	}
	s.machine.Judge = s.oracle.Judge
	s.machine.Foreign("foreign", spec.Instance{ID: 7, Phase: spec.InstanceRunning, Pid: 1, Hash: "x", Defaults: 1})
	return s
}

// run plays a number of random steps, then lets everything settle and asks the oracle. It gives what is wrong.
func (s *simulation) run(steps int) error {
	s.start()
	for range steps {
		s.step()
		if v := append(s.oracle.Violations(), s.late...); len(v) > 0 {
			s.end(false)
			return errors.New(v[0])
		}
	}
	return s.finish()
}

func (s *simulation) say(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf("%s %s", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...)))
}

func (s *simulation) start() {
	ctx, cancel := context.WithCancel(s.t.Context())
	s.node = s.machine.Attach(s.faults, cancel)
	agent, err := reconcile.New(reconcile.Config{
		Node: s.variant(s.node), Store: s.disk.Store(s.node), Sources: []reconcile.Source{s.blinded(s.folder)}, Workers: 2,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.agent, s.stop, s.done = agent, cancel, make(chan error, 1)
	go func() { s.done <- agent.Run(ctx) }()
}

// end ends the agent, in the middle of whatever it does when it is killed.
func (s *simulation) end(kill bool) {
	if kill {
		s.node.Die()
	}
	s.stop()
	<-s.done
	s.node.Die()
}

// revive starts an agent when the last one died.
func (s *simulation) revive() {
	select {
	case <-s.done:
		s.say("agent starts anew")
		s.node.Die()
		s.start()
	default:
	}
}

var names = []string{"a", "b", "c", "d", "e"}

// container is one of the manifests a name may have: few values, so that they come again.
func (s *simulation) container(name string) spec.Container {
	c := spec.Container{APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: name}}
	c.Spec.Rootfs.Path = "/srv"
	scripts := []string{"trap 'exit 0' TERM; one", "trap 'exit 0' TERM; two", "trap ':' TERM; deaf", "nothing"}
	c.Spec.Command = []string{"/bin/sh", "-c", scripts[s.r.IntN(len(scripts))]}
	c.Spec.State = []spec.State{"", "", "", spec.StatePaused, spec.StateStopped, spec.StateCheckpointed}[s.r.IntN(6)]
	if s.r.IntN(2) == 0 {
		c.Spec.Checkpoint = spec.Checkpoint{
			Every: []spec.Duration{0, spec.Duration(20 * time.Second)}[s.r.IntN(2)], Retain: s.r.IntN(3),
			RestoreOnStart: []spec.RestoreOnStart{"", spec.RestoreLatest}[s.r.IntN(2)], OnCrash: []spec.OnCrash{"", spec.CrashRestore}[s.r.IntN(2)],
			From: []string{"", "", "a", "b"}[s.r.IntN(4)], OnShutdown: s.r.IntN(2) == 0,
		}
		if c.Spec.Checkpoint.From == name {
			c.Spec.Checkpoint.From = ""
		}
	}
	c.Spec.Restart.Policy = []spec.RestartPolicy{"", "", spec.RestartNever, spec.RestartOnFailure}[s.r.IntN(4)]
	c.Spec.Stop.Timeout = spec.Duration(s.r.IntN(3)) * spec.Duration(2*time.Second)
	c.Spec.Resources.Memory.Max = spec.NewLimit(uint64(1+s.r.IntN(3)) << 20)
	if s.r.IntN(3) == 0 {
		c.Metadata.Labels = map[string]string{"l": strconv.Itoa(s.r.IntN(2))}
	}
	return c
}

// step is one thing that happens, and some time.
func (s *simulation) step() {
	name := names[s.r.IntN(len(names))]
	deeds := []struct {
		weight int
		do     func(name string)
	}{
		{30, s.put},
		{12, s.flip},
		{3, s.damage},
		{2, s.shutdown},
		{8, s.remove},
		{4, s.breakFile},
		{5, s.rename},
		{15, s.crash},
		{6, s.drift},
		{4, s.freeze},
		{2, s.wipe},
		{4, s.hide},
		{6, s.killAgent},
		{3, s.stopAgent},
		{1, s.reboot},
		{2, s.lose},
		{4, s.byHand},
	}
	total := 0
	for _, d := range deeds {
		total += d.weight
	}
	pick := s.r.IntN(total)
	for _, d := range deeds {
		if pick -= d.weight; pick < 0 {
			d.do(name)
			break
		}
	}
	time.Sleep([]time.Duration{0, 0, 30 * time.Millisecond, time.Second, 5 * time.Second, 40 * time.Second}[s.r.IntN(6)])
	s.revive()
}

// brief is what is random about a container.
func brief(c spec.Container) string {
	return fmt.Sprintf("%+v %s %s %s %s %v %s", c.Spec.Checkpoint, c.Spec.State, c.Spec.Command[2], c.Spec.Restart.Policy, c.Spec.Stop.Timeout, c.Metadata.Labels, c.Spec.Resources.Memory.Max)
}

func (s *simulation) put(name string) {
	s.write(name, s.container(name))
}

func (s *simulation) write(name string, c spec.Container) {
	s.puts[name] = c
	if s.files[name] == "" {
		s.files[name] = name + ".yaml"
	}
	s.say("put %s %s", s.files[name], brief(c))
	s.broken[name] = false
	s.oracle.Asks(name, &c)
	s.folder.PutContainers(s.files[name], c)
	s.see()
}

// flip changes nothing but the state.
func (s *simulation) flip(name string) {
	last, ok := s.puts[name]
	if s.files[name] == "" || !ok {
		return
	}
	c := last
	c.Spec.State = []spec.State{"", spec.StatePaused, spec.StateCheckpointed, spec.StateCheckpointed}[s.r.IntN(4)]
	s.write(name, c)
}

func (s *simulation) damage(name string) {
	s.say("damage %s: %v", name, s.machine.Damage(name, s.r.IntN(2) == 0))
}

// shutdown brings the node down, and up again after a boot or as if it had not gone.
func (s *simulation) shutdown(string) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Duration(1+s.r.IntN(40))*time.Second)
	defer cancel()
	s.oracle.Down(true)
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
	if s.r.IntN(2) == 0 {
		s.reboot("")
	} else {
		s.killAgent("")
	}
	s.oracle.Down(false)
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

func (s *simulation) remove(name string) {
	if s.files[name] == "" {
		return
	}
	s.say("remove %s", name)
	s.broken[name] = false
	s.oracle.Asks(name, nil)
	s.folder.Remove(s.files[name])
	delete(s.files, name)
	s.see()
}

func (s *simulation) breakFile(name string) {
	if s.files[name] == "" {
		return
	}
	s.say("break %s", name)
	s.broken[name] = true
	s.see()
	s.folder.Put(s.files[name], "{")
}

func (s *simulation) rename(name string) {
	if s.files[name] == "" || s.broken[name] || s.hidden {
		return
	}
	c := s.container(name)
	s.puts[name] = c
	s.say("rename %s %s", name, brief(c))
	s.oracle.Asks(name, &c)
	s.folder.Remove(s.files[name])
	s.files[name] = fmt.Sprintf("%s-%d.yaml", name, s.r.IntN(3))
	s.folder.PutContainers(s.files[name], c)
}

// see tells the oracle whether the agent can see what is asked for.
func (s *simulation) see() {
	blind := s.hidden
	for _, broken := range s.broken {
		blind = blind || broken
	}
	s.oracle.Blind(blind)
}

func (s *simulation) hide(string) {
	s.hidden = !s.hidden
	s.say("hidden %v", s.hidden)
	s.see()
	s.folder.Hide(s.hidden)
}

func (s *simulation) crash(name string) {
	s.say("crash %s", name)
	s.machine.Crash(name, s.r.IntN(2))
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

func (s *simulation) lose(name string) {
	if s.r.IntN(2) == 0 {
		s.say("lose %s", name)
		s.machine.LoseRecord(name)
		return
	}
	s.say("tear %s", name)
	s.oracle.Blind(true)
	s.disk.Tear(name)
	s.killAgent(name)
	s.see()
}

func (s *simulation) killAgent(string) {
	s.say("kill agent")
	s.end(true)
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
	for _, name := range names {
		s.machine.Wipe(name)
	}
	s.start()
}

func (s *simulation) byHand(name string) {
	s.oracle.Hand(name)
	var err error
	verb := s.r.IntN(7)
	switch verb {
	case 0:
		err = s.agent.Override(s.t.Context(), name, spec.Override{State: []spec.State{spec.StateStopped, spec.StatePaused, spec.StateRunning, spec.StateCheckpointed}[s.r.IntN(4)]})
	case 1:
		err = s.agent.Override(s.t.Context(), name, spec.Override{})
	case 2:
		err = s.agent.Restart(s.t.Context(), name)
	case 3:
		err = s.agent.Kill(s.t.Context(), name, "SIGKILL")
	case 4, 5:
		_, err = s.agent.Checkpoint(s.t.Context(), name, spec.CheckpointOptions{Stop: verb == 5})
	case 6:
		err = s.agent.Restore(s.t.Context(), name, "")
	}
	s.say("by hand %s %d: %v", name, verb, err)
}

// finish ends all faults, makes all manifests whole, clears what was done by hand, and gives what is wrong after a while.
func (s *simulation) finish() error {
	s.say("finish")
	s.faults.Off()
	s.hidden = false
	s.folder.Hide(false)
	for _, name := range names {
		if s.broken[name] {
			s.put(name)
		}
	}
	s.see()
	time.Sleep(20 * time.Second)
	s.revive()
	time.Sleep(20 * time.Second)
	for _, name := range names {
		if err := s.agent.Override(s.t.Context(), name, spec.Override{}); err == nil {
			s.oracle.Hand(name)
		}
	}
	time.Sleep(2 * time.Minute)
	for _, source := range s.agent.Sources() {
		if len(source.Blocked) > 0 && source.Name != reconcile.SourceUnclaimed {
			_ = s.agent.ConfirmPrune(s.t.Context(), source.Name, source.Hash)
		}
	}
	s.forgetUnclaimed()
	time.Sleep(10 * time.Minute) // what is restored from bad images ends again and again, until the last of them is left out
	verbs := s.oracle.Verbs()
	time.Sleep(10 * time.Minute)
	var errs []error
	if more := s.oracle.Verbs() - verbs; more > 0 {
		errs = append(errs, fmt.Errorf("%d verbs after everything had settled", more))
	}
	for _, v := range slices.Concat(s.oracle.Violations(), s.late, s.oracle.Converged(s.machine), s.machine.Misfits(), s.machine.Strayed()) {
		errs = append(errs, errors.New(v))
	}
	if len(s.machine.Instances()["foreign"]) != 1 {
		errs = append(errs, errors.New("the foreign container is gone"))
	}
	s.end(false)
	synctest.Wait()
	return errors.Join(errs...)
}

// forgetUnclaimed accepts that what lost both its record and its manifest is left alone: nobody ever saw its removal.
func (s *simulation) forgetUnclaimed() {
	for _, source := range s.agent.Sources() {
		if source.Name == reconcile.SourceUnclaimed {
			for _, name := range source.Blocked {
				s.oracle.Forgets(name)
			}
		}
	}
}

// simulate runs one seed in a bubble.
func simulate(t *testing.T, seed uint64, steps int, change func(*simulation)) (log []string, wrong error) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, seed)
		change(s)
		wrong = s.run(steps)
		log = s.log
		if wrong != nil {
			for _, e := range s.agent.Events("", 0) {
				log = append(log, fmt.Sprintf("%s event %s %s %s", e.Time.Format("15:04:05.000"), e.Name, e.Reason, e.Message))
			}
		}
	})
	return log, wrong
}

// TestSimulation plays seeds: a few hundred, or RECONCILER_SOAK=N of them, or the one in RECONCILER_SEED.
func TestSimulation(t *testing.T) {
	from, count := uint64(1), uint64(150)
	if seed, err := strconv.ParseUint(os.Getenv("RECONCILER_SEED"), 10, 64); err == nil {
		from, count = seed, 1
	} else if n, err := strconv.ParseUint(os.Getenv("RECONCILER_SOAK"), 10, 64); err == nil {
		count = max(n, 50_000)
	}
	for seed := from; seed < from+count; seed++ {
		log, wrong := simulate(t, seed, 80, func(*simulation) {})
		if wrong == nil {
			continue
		}
		for _, line := range log {
			t.Log(line)
		}
		t.Fatalf("seed %d: %v", seed, wrong)
	}
}
