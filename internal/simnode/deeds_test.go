package simnode_test

import (
	"fmt"
	"strconv"
	"time"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// deeds are what happens in simulations, and how often.
var deeds map[string]struct {
	weight int
	do     func(s *simulation, name string)
}

func init() { // some play others
	deeds = map[string]struct {
		weight int
		do     func(s *simulation, name string)
	}{
		"put":      {30, (*simulation).put},
		"equip":    {30, (*simulation).equip},
		"tie":      {8, (*simulation).tie},
		"answer":   {12, (*simulation).answer},
		"suspend":  {3, (*simulation).suspend},
		"undo":     {4, (*simulation).undo},
		"drain":    {3, (*simulation).drain},
		"flip":     {12, (*simulation).flip},
		"remove":   {8, (*simulation).remove},
		"break":    {4, (*simulation).breakFile},
		"rename":   {5, (*simulation).rename},
		"return":   {2, (*simulation).comeBack},
		"hide":     {4, (*simulation).hide},
		"crash":    {15, (*simulation).crash},
		"starve":   {4, (*simulation).starve},
		"drift":    {6, (*simulation).drift},
		"freeze":   {4, (*simulation).freeze},
		"wipe":     {2, (*simulation).wipe},
		"damage":   {3, (*simulation).damage},
		"poison":   {4, (*simulation).poison},
		"full":     {1, (*simulation).full},
		"lose":     {2, (*simulation).lose},
		"hold":     {2, (*simulation).hold},
		"kill":     {6, (*simulation).killAgent},
		"restart":  {3, (*simulation).stopAgent},
		"reboot":   {1, (*simulation).reboot},
		"shutdown": {2, (*simulation).shutdown},
		"byhand":   {5, (*simulation).byHand},
		"calm":     {1, (*simulation).calm},
		"config":   {0, (*simulation).config}, // where containers use them
	}
}

func pick[T any](s *simulation, list ...T) T { return list[s.r.IntN(len(list))] }

// scripts are what containers do: run on, deaf or not, or end by themselves.
var scripts = []string{
	"trap 'exit 0' TERM; one", "trap 'exit 0' TERM; two", "trap ':' TERM; deaf", "nothing", "one", "two", "sleep 0.2; exit 1", "sleep 30; exit 0", "sleep 700; exit 1",
}

// container is one of the manifests a name may have: few values, so that they come again.
func (s *simulation) container(name string) spec.Container {
	c := spec.Container{APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: name}}
	c.Spec.Rootfs.Path = "/srv"
	if s.r.IntN(25) == 0 {
		c.Spec.Rootfs.Path = simnode.Nowhere
	}
	c.Spec.Command = []string{"/bin/sh", "-c", pick(s, scripts...)}
	c.Spec.State = pick(s, "", "", "", spec.StatePaused, spec.StateStopped, spec.StateCheckpointed)
	if s.r.IntN(2) == 0 {
		c.Spec.Checkpoint = spec.Checkpoint{
			Every: pick(s, 0, spec.Duration(20*time.Second)), Retain: s.r.IntN(3), RestoreOnStart: pick(s, "", spec.RestoreLatest),
			OnCrash: pick(s, "", spec.CrashRestore), From: pick(s, "", "", "a", "b"), OnShutdown: s.r.IntN(2) == 0,
		}
		if c.Spec.Checkpoint.From == name {
			c.Spec.Checkpoint.From = ""
		}
	}
	if name >= "d" {
		c.Spec.Group = pick(s, "", "g")
	}
	c.Spec.Restart.Policy = pick(s, "", "", spec.RestartNever, spec.RestartOnFailure)
	c.Spec.Stop.Timeout = spec.Duration(s.r.IntN(3)) * spec.Duration(2*time.Second)
	c.Spec.Resources.Memory.Max = spec.NewLimit(uint64(1+s.r.IntN(3)) << 20)
	if s.r.IntN(3) == 0 {
		c.Metadata.Labels = map[string]string{"l": strconv.Itoa(s.r.IntN(2))}
	}
	if s.uses {
		s.use(&c)
	}
	return c
}

// brief is what is random about a container.
func brief(c spec.Container) string {
	return fmt.Sprintf("%+v %s %s %s %s %s %v %s %s", c.Spec.Checkpoint, c.Spec.State, c.Spec.Command[2], c.Spec.Restart.Policy, c.Spec.Group, c.Spec.Stop.Timeout,
		c.Metadata.Labels, c.Spec.Resources.Memory.Max, c.Spec.Rootfs.Path)
}

func (s *simulation) put(name string) { s.write(name, s.container(name)) }

func (s *simulation) write(name string, c spec.Container) {
	s.puts[name] = c
	if s.files[name] == "" {
		s.files[name] = name + ".yaml"
	}
	s.say("put %s %s; %s", s.files[name], brief(c), said(c))
	s.broken[name] = false
	s.oracle.Asks(name, &c)
	s.folder.PutContainers(s.files[name], c)
	s.see()
}

// flip changes nothing but the state.
func (s *simulation) flip(name string) {
	last, ok := s.puts[name]
	if s.files[name] == "" || !ok || !last.Spec.Job.IsZero() {
		return
	}
	c := last
	c.Spec.State = pick(s, "", spec.StatePaused, spec.StateCheckpointed, spec.StateCheckpointed)
	s.write(name, c)
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
	time.Sleep(time.Duration(s.r.IntN(3)) * 50 * time.Millisecond) // as an editor does
	s.files[name] = fmt.Sprintf("%s-%d.yaml", name, s.r.IntN(3))
	s.folder.PutContainers(s.files[name], c)
}

// comeBack takes a manifest away for a while, puts it back, breaks it, and lets an agent begin that has never seen it whole.
func (s *simulation) comeBack(name string) {
	c := s.puts[name]
	if s.files[name] == "" || s.broken[name] || s.hidden {
		return
	}
	s.remove(name)
	s.rest(time.Duration(s.r.IntN(80)) * 100 * time.Millisecond)
	s.write(name, c)
	s.rest(time.Second)
	s.breakFile(name)
	s.killAgent(name)
}

func (s *simulation) hide(string) {
	s.hidden = !s.hidden
	s.say("hidden %v", s.hidden)
	s.see()
	s.folder.Hide(s.hidden)
}

// see tells the oracle what the agent can see of what is asked for.
func (s *simulation) see() {
	doubt := s.hidden
	for _, name := range names {
		s.oracle.Blind(name, s.hidden || s.broken[name] || s.held[name])
		doubt = doubt || s.broken[name]
	}
	s.oracle.Doubt(doubt)
}
