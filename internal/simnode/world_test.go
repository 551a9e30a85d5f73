package simnode_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
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
	r       *rand.Rand // of the deed being done
	machine *simnode.Machine
	disk    *simnode.Disk
	folder  *simnode.Folder
	oracle  *simnode.Oracle
	faults  *simnode.Faults
	files   map[string]string // file of each name
	puts    map[string]spec.Container
	broken  map[string]bool
	held    map[string]bool // names whose record is a newer agent's
	hidden  bool
	late    []string // what was up when the node was to be down

	agent *reconcile.Agent
	node  *simnode.Node
	done  chan error
	stop  context.CancelFunc

	prune   reconcile.PrunePolicy
	variant func(reconcile.Node) reconcile.Node // a node with a planted bug
	blinded func(reconcile.Source) reconcile.Source

	mu  sync.Mutex
	log []string // what was done, by the script and by agents
}

var names = []string{"a", "b", "c", "d", "e"}

func newSimulation(t *testing.T, faults *simnode.Faults, prune reconcile.PrunePolicy) *simulation {
	s := &simulation{
		t: t, machine: simnode.New(), disk: simnode.NewDisk(), folder: simnode.NewFolder("main"), oracle: simnode.NewOracle(), faults: faults, prune: prune,
		files: map[string]string{}, puts: map[string]spec.Container{}, broken: map[string]bool{}, held: map[string]bool{},
		variant: func(n reconcile.Node) reconcile.Node { return n },
		blinded: func(s reconcile.Source) reconcile.Source { return s },
	}
	s.disk.Wrote = s.oracle.Writes
	s.machine.Judge = func(verb, name string, id uint64, instances []spec.Instance) {
		s.say("  %s %s/%d", verb, name, id)
		s.oracle.Judge(verb, name, id, instances)
	}
	s.oracle.Guarded = prune != reconcile.PruneAlways
	s.machine.Foreign("foreign", spec.Instance{ID: 7, Phase: spec.InstanceRunning, Pid: 1, Hash: "x", Defaults: 1})
	return s
}

func (s *simulation) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, fmt.Sprintf("%s %s", time.Now().Format("02 15:04:05.000"), fmt.Sprintf(format, args...)))
}

func (s *simulation) start() {
	s.oracle.Begins()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.node = s.machine.Attach(s.faults, cancel)
	agent, err := reconcile.New(reconcile.Config{
		Node: s.variant(s.node), Store: s.disk.Store(s.node), Sources: []reconcile.Source{s.blinded(s.folder)}, Workers: 2, Prune: s.prune,
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

// rest lets some time go by. An agent that dies meanwhile is started again.
func (s *simulation) rest(d time.Duration) {
	for until := time.After(d); ; {
		select {
		case <-s.done:
			s.say("agent starts anew")
			s.node.Die()
			s.start()
		case <-until:
			return
		}
	}
}

// wrong is what was done and never may be, so far.
func (s *simulation) wrong() []string {
	return slices.Concat(s.oracle.Violations(), s.late, s.machine.Misfits())
}

// run plays a script, then lets everything settle and asks the oracle. It gives what is wrong.
func (s *simulation) run(script []deed) error {
	s.start()
	for _, d := range script {
		s.play(d)
		if v := s.wrong(); len(v) > 0 {
			s.end(false)
			return errors.New(v[0])
		}
	}
	err := s.finish()
	s.end(false)
	synctest.Wait()
	return err
}

// play does one deed, and lets some time go by.
func (s *simulation) play(d deed) {
	s.r = rand.New(rand.NewPCG(d.Roll, 1))
	deeds[d.Do].do(s, d.Name)
	s.confirm()
	s.rest(d.Wait)
}

// confirm lets removals go on that are held back.
func (s *simulation) confirm() {
	for _, source := range s.agent.Sources() {
		if len(source.Blocked) > 0 && source.Name != reconcile.SourceUnclaimed {
			s.say("confirm %v", source.Blocked)
			_ = s.agent.ConfirmPrune(s.t.Context(), source.Name, source.Revision)
		}
	}
}

// simulate plays a script of a seed in a bubble.
func simulate(t *testing.T, seed uint64, script []deed, change func(*simulation)) (log []string, wrong error) {
	synctest.Test(t, func(t *testing.T) {
		prune := []reconcile.PrunePolicy{reconcile.PruneGuarded, reconcile.PruneAlways, reconcile.PruneAlways}[seed%3]
		s := newSimulation(t, simnode.NewFaults(seed), prune)
		change(s)
		wrong = s.run(script)
		log = s.log
		if wrong != nil {
			for _, e := range s.agent.Events("", 0) {
				log = append(log, fmt.Sprintf("%s event %s %s %s", e.Time.Format("02 15:04:05.000"), e.Name, e.Reason, e.Message))
			}
		}
	})
	return log, wrong
}
