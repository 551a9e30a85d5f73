package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// saved sweeps over ending a container in an image and over going on from there: whom the sweep kills dies at each of its calls, or a sample of them.
func (s *sweep) saved(dumps, restores int) {
	n := s.n
	n.put("web.yaml", counterManifest("web", running))
	n.mustOnce("the start")
	n.watched()
	n.counts("web", 3)
	n.put("web.yaml", counterManifest("web", checkpointed))
	s.run(s.quiet...)
	dumping := s.points()
	n.put("web.yaml", counterManifest("web", running))
	s.run(s.quiet...)
	restoring := s.points()
	n.t.Logf("%d points of a dump, %d of a restore", len(dumping), len(restoring))
	n.counts("web", 3)
	keeper := n.keepers()
	before := kerneltest.Settled(n.t, kerneltest.Scope{Pids: keeper})
	for _, p := range pick(dumping, sample(dumps, 100)) {
		s.there(fmt.Sprintf("%s killed at %s %d of a dump", s.who, p.call, p.n), checkpointed, func() { s.kill(p) })
		s.back("the way back", func() {})
	}
	for _, p := range pick(restoring, sample(restores, 100)) {
		s.there("the way there", checkpointed, func() {})
		if s.who == "keeper" { // one killed in the last moment of a restore undoes it: what the container wrote since comes again
			n.undone++
		}
		s.back(fmt.Sprintf("%s killed at %s %d of a restore", s.who, p.call, p.n), func() { s.kill(p) })
	}
	n.t.Logf("%d points tried, %d kills", s.tried, s.kills)
	if slices.Equal(keeper, n.keepers()) {
		n.eventually("the keeper has open what it had", func() error {
			if diff := kerneltest.Diff(before, kerneltest.Take(n.t, kerneltest.Scope{Pids: keeper})); len(diff) > 0 {
				return errors.New(strings.Join(diff, "\n"))
			}
			return nil
		})
	}
}

// there asks for the container in an image, and looks at what is so after the kill and after the next agent.
func (s *sweep) there(what, state string, kill func()) {
	n := s.n
	n.put("web.yaml", counterManifest("web", state))
	kill()
	n.settles("web", what, false)
	n.mustOnce(what)
	if tasks := n.tasks("web"); len(tasks) > 0 {
		n.t.Errorf("%s: has not ended: %q", what, tasks)
	}
	n.isWhole(what, "web")
}

// back asks for the container to run.
func (s *sweep) back(what string, kill func()) {
	n := s.n
	n.put("web.yaml", counterManifest("web", running))
	kill()
	n.settles("web", what, false)
	n.mustOnce(what)
	if _, err := n.counted("web"); err != nil {
		n.t.Fatalf("%s: %v", what, err)
	}
	n.counts("web", 3)
	n.isWhole(what, "web")
}

// mustOnce runs the agent to the end.
func (n *node) mustOnce(what string) {
	n.t.Helper()
	out, err := n.once("--prune", "always")
	if err != nil {
		n.t.Fatalf("%s: cannot converge afterwards: %v\n%s", what, err, out)
	}
}

// TestCheckpointKillAgent kills the agent at (call, n) while it ends a container in an image, and while it restores it.
func TestCheckpointKillAgent(t *testing.T) {
	kerneltest.Criu(t)
	s := sweepAgent(t)
	s.saved(3, 3)
	s.verdict()
}

// TestCheckpointKillKeeper kills the keeper at its calls of both.
func TestCheckpointKillKeeper(t *testing.T) {
	kerneltest.Criu(t)
	s := sweepKeeper(t)
	s.saved(3, 3)
	s.verdict()
}

// moments are times after a verb was asked for at which somebody is killed, from a seed that is the same every time.
func moments(few, all int, upTo time.Duration) []time.Duration {
	random := rand.New(rand.NewPCG(3, 4))
	list := make([]time.Duration, sample(few, all))
	for i := range list {
		list[i] = time.Duration(random.Int64N(int64(upTo)))
	}
	return list
}

// onTheRun kills while images are taken of containers that run on: nobody may notice. The containers are those of the manifests that were put; mayFreeze are those of
// them that are paused.
func (n *node) onTheRun(t *testing.T, names []string, isPaused bool, kill func()) {
	pids := map[string]int{}
	want := spec.PhaseRunning
	if isPaused {
		want = spec.PhasePaused
	}
	for _, name := range names {
		pids[name] = n.phase(name, want).Status.Container.Pid
	}
	if isPaused {
		n.watched(names...)
	} else {
		n.watched()
	}
	taken := 0
	for _, after := range moments(3, 200, 250*time.Millisecond) {
		what := fmt.Sprintf("killed %v after the request", after)
		done := make(chan error, 1)
		go func() {
			_, err := n.cli("checkpoint", names[0])
			done <- err
		}()
		time.Sleep(after)
		kill()
		if <-done == nil {
			taken++
		}
		for _, name := range names {
			n.settles(name, what, isPaused)
		}
		if n.agent == nil {
			n.start()
		}
		for _, name := range names {
			if c := n.phase(name, want).Status.Container; c.Pid != pids[name] || c.RestartCount != 0 {
				t.Fatalf("%s: %s: got %+v, had pid %d", what, name, c, pids[name])
			}
			if n.isFrozen(name) != isPaused {
				t.Errorf("%s: %s: frozen is %v", what, name, !isPaused)
			}
			if !isPaused {
				n.counts(name, 3)
			}
		}
		n.isWhole(what, names...)
		n.imagesAreWhole(what, names)
	}
	t.Logf("%d images were taken all the same", taken)
}

// imagesAreWhole reads all images as a restore would, and holds the newest of the containers to be of one moment.
func (n *node) imagesAreWhole(what string, names []string) {
	n.t.Helper()
	out, err := n.cli("checkpoint", "ls", "-o", "json")
	var list struct{ Items []spec.Image }
	if err == nil {
		err = json.Unmarshal([]byte(out), &list)
	}
	if err != nil {
		n.t.Fatalf("%s: %v\n%s", what, err, out)
	}
	sets := map[string]string{}
	verify := []string{"checkpoint", "verify"}
	for _, img := range list.Items { // the newest last
		sets[img.Container] = img.Set
		verify = append(verify, img.Ref())
	}
	if len(list.Items) == 0 {
		return
	}
	for _, name := range names {
		if set, ok := sets[name]; !ok || set != sets[names[0]] {
			n.t.Errorf("%s: the newest images of a group are of the sets %q", what, sets)
		}
	}
	if out, err := n.cli(verify...); err != nil {
		n.t.Errorf("%s: %v\n%s", what, err, out)
	}
}

// killKeepers kills all keepers: one may be looking whether there is another.
func (n *node) killKeepers() {
	for _, pid := range n.keepers() {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// TestCheckpointKillOnTheRun kills the agent, the keeper, and both, at any moment of images of containers that run on, alone and in a group, and of one that is paused.
func TestCheckpointKillOnTheRun(t *testing.T) {
	kerneltest.Criu(t)
	for _, subject := range []struct {
		name     string
		names    []string
		manifest string
		isPaused bool
	}{
		{"alone", []string{"web"}, counterManifest("web", running), false},
		{"group", []string{"pair-a", "pair-b"}, groupOfCounters("pair"), false},
		{"paused", []string{"web"}, counterManifest("web", paused), true},
	} {
		for who, kill := range map[string]func(*node){
			"agent":  func(n *node) { n.signal(syscall.SIGKILL) },
			"keeper": (*node).killKeepers,
			"both": func(n *node) { // nobody is left who could end what was begun but the next agent
				n.killKeepers()
				n.signal(syscall.SIGKILL)
				n.start()
			},
		} {
			t.Run(subject.name+"/"+who, func(t *testing.T) {
				n := newNode(t)
				n.put("subject.yaml", subject.manifest)
				n.start()
				n.onTheRun(t, subject.names, subject.isPaused, func() { kill(n) })
			})
		}
	}
}
