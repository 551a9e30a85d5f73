package simnode_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestFailpoints plays lives of a container again and again. Each time the agent dies at another of the calls that it makes on node and store, before
// it takes effect or after, or leaves an instance half-made there (a look only now and then, but in a soak); another one is started, and within half a minute of each step all has to be as asked.
func TestFailpoints(t *testing.T) {
	for name, l := range lives {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l.failpoints(t)
		})
	}
}

// failpoints plays one life.
func (l life) failpoints(t *testing.T) {
	calls, _, err := l.live(t, simnode.Point{})
	if err != nil {
		t.Fatal(err)
	}
	died, missed := map[string]*[3]int{}, 0
	for i, call := range calls {
		seldom := os.Getenv("RECONCILER_SOAK") == "" && i%5 > 0
		often := slices.Contains([]string{"Observe", "Images", "Drift"}, call.Verb)
		if call.Name != "a" && call.Name != "drained" || call.Verb == "Event" || seldom && often {
			continue
		}
		if died[call.Verb] == nil {
			died[call.Verb] = new([3]int)
		}
		for way, p := range points(call) {
			_, reached, err := l.live(t, p)
			switch {
			case err != nil:
				t.Errorf("%+v: %v", p, err)
			case reached:
				died[call.Verb][way]++
			default:
				missed++
			}
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-12s %8s %8s %10s\n", "died at", "before", "after", "half-made")
	for _, verb := range slices.Sorted(maps.Keys(died)) {
		fmt.Fprintf(&table, "%-12s %8d %8d %10d\n", verb, died[verb][0], died[verb][1], died[verb][2])
	}
	t.Logf("agents that died, and what came after was as asked; %d calls came otherwise:\n%s", missed, &table)
	if missed > len(calls)/5 {
		t.Errorf("%d of %d calls come otherwise each time", missed, len(calls))
	}
	for _, verb := range l.verbs {
		if died[verb] == nil {
			t.Errorf("no agent died at %s", verb)
		}
	}
}

// points are the ways to die at a call.
func points(call simnode.Point) []simnode.Point {
	after, half := call, call
	after.After, half.Halfs = true, true
	list := []simnode.Point{call, after}
	if call.Verb == "Create" || call.Verb == "Restore" {
		list = append(list, half)
	}
	return list
}

// live is one life with one death of its agent. It gives the calls that were made, and whether the agent died.
func (l life) live(t *testing.T, p simnode.Point) (calls []simnode.Point, died bool, wrong error) {
	synctest.Test(t, func(t *testing.T) {
		faults := simnode.At(p)
		s := newSimulation(t, faults, reconcile.PruneGuarded)
		s.start()
		s.rest(time.Second)
		for _, step := range l.steps {
			step.do(s)
			s.rest(30 * time.Second)
			v := append(s.wrong(), s.oracle.Converged(s.machine)...)
			if step.so != nil && !step.so(s) {
				v = append(v, "it is not so")
			}
			if len(v) > 0 {
				wrong = errors.Join(wrong, fmt.Errorf("%s: %s\n%s", step.what, v[0], strings.Join(s.log, "\n")))
				break
			}
		}
		if left := s.disk.Names(); wrong == nil && len(left)+len(s.machine.Images("a")) > 0 {
			wrong = fmt.Errorf("records are left of %v, and %d images", left, len(s.machine.Images("a")))
		}
		calls, died = faults.Calls(), strings.Contains(strings.Join(s.log, "\n"), "starts anew")
		s.end(false)
		synctest.Wait()
	})
	return calls, died, wrong
}

// life is what happens to one container, and at which verbs its agent has to die.
type life struct {
	verbs []string
	steps []happening
}

// happening is one thing that happens, and what has to be so then besides what is asked for.
type happening struct {
	what string
	do   func(*simulation)
	so   func(*simulation) bool
}

// everything is all that can be asked of one container by itself.
var everything = []happening{
	{what: "created", do: asks(func(*spec.Container) {})},
	{what: "a label changed", do: asks(func(c *spec.Container) { c.Metadata.Labels = map[string]string{"l": "1"} })},
	{what: "a limit changed", do: asks(func(c *spec.Container) { c.Spec.Resources.Memory.Max = spec.NewLimit(2 << 20) })},
	{what: "a limit drifted", do: func(s *simulation) { s.drift("a") }},
	{what: "the command changed", do: asks(func(c *spec.Container) { c.Spec.Command[2] = "trap 'exit 0' TERM; two" })},
	{what: "it crashed", do: func(s *simulation) { s.machine.Crash("a", 1) }},
	{what: "it was wiped", do: func(s *simulation) { s.machine.Wipe("a") }},
	{what: "paused", do: asks(func(c *spec.Container) { c.Spec.State = spec.StatePaused })},
	{what: "resumed", do: asks(func(c *spec.Container) { c.Spec.State = "" })},
	{what: "stopped by hand", do: byHand(func(s *simulation) error {
		return s.agent.Override(s.t.Context(), "a", spec.Override{State: spec.StateStopped})
	})},
	{what: "cleared", do: byHand(func(s *simulation) error { return s.agent.Override(s.t.Context(), "a", spec.Override{}) })},
	{what: "restarted by hand", do: byHand(func(s *simulation) error { return s.agent.Restart(s.t.Context(), "a") })},
	{what: "killed by hand", do: byHand(func(s *simulation) error { return s.agent.Kill(s.t.Context(), "a", "SIGKILL") })},
	{what: "saved by hand", do: byHand(func(s *simulation) error {
		_, err := s.agent.Checkpoint(s.t.Context(), "a", spec.CheckpointOptions{})
		return err
	})},
	{what: "restored by hand", do: byHand(func(s *simulation) error { return s.agent.Restore(s.t.Context(), "a", "") })},
	{what: "into an image", do: asks(func(c *spec.Container) { c.Spec.State = spec.StateCheckpointed })},
	{what: "and back", do: asks(func(c *spec.Container) { c.Spec.State = "" })},
	{what: "images by schedule", do: asks(func(c *spec.Container) { c.Spec.Checkpoint.Every = spec.Duration(20 * time.Second) })},
	{what: "deaf", do: asks(func(c *spec.Container) {
		c.Spec.Command[2], c.Spec.Stop.Timeout, c.Spec.Checkpoint = "trap ':' TERM; deaf", spec.Duration(5*time.Second), spec.Checkpoint{}
	})},
	{what: "rebooted", do: func(s *simulation) { s.reboot("") }},
	{what: "removed", do: func(s *simulation) { s.remove("a") }},
}

// asks changes the manifest.
func asks(change func(*spec.Container)) func(*simulation) {
	return func(s *simulation) {
		c, ok := s.puts["a"]
		if !ok {
			c = spec.Container{APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: "a"}}
			c.Spec.Rootfs.Path, c.Spec.Command = "/srv", []string{"/bin/sh", "-c", "trap 'exit 0' TERM; one"}
			c.Spec.Resources.Memory.Max = spec.NewLimit(1 << 20)
		}
		c.Spec.Command = slices.Clone(c.Spec.Command)
		change(&c)
		s.write("a", c)
	}
}

// byHand asks an agent for something, and the next one again when the first did not live to say that it was done.
func byHand(ask func(*simulation) error) func(*simulation) {
	return func(s *simulation) {
		defer s.oracle.Hand("a")()
		for try := range 3 {
			err := ask(s)
			s.say("by hand, try %d: %v", try+1, err)
			if err == nil || !errors.Is(err, simnode.ErrDead) {
				return
			}
			s.rest(10 * time.Second)
		}
	}
}
