package reconcile_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// dice gives small numbers from the bytes of a fuzzer; zeros when they are used up.
type dice struct{ data []byte }

func (d *dice) roll(n int) int {
	if len(d.data) == 0 {
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return int(b) % n
}

func pick[T any](d *dice, list ...T) T { return list[d.roll(len(list))] }

var epoch = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func (d *dice) container() spec.Container {
	c := spec.Container{APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: "web"}}
	c.Spec.Rootfs.Path = "/srv"
	c.Spec.Command = []string{pick(d, "one", "two")}
	c.Spec.State = pick(d, "", spec.StateRunning, spec.StatePaused, spec.StateStopped, spec.StateCheckpointed)
	c.Spec.Restart.Policy = pick(d, "", spec.RestartNever, spec.RestartOnFailure)
	c.Spec.Resources.Memory.Max = pick(d, spec.Limit{}, spec.NewLimit(1<<20), spec.NewLimit(2<<20))
	if d.roll(3) == 0 {
		c.Spec.Checkpoint = spec.Checkpoint{
			Every: pick(d, 0, spec.Duration(time.Hour)), RestoreOnStart: pick(d, "", spec.RestoreLatest), OnCrash: pick(d, "", spec.CrashRestore),
			From: pick(d, "", "", "base", "base/20261123-110000001"), OnShutdown: d.roll(2) == 0,
		}
	}
	return c
}

// image is an image of the name or of another, which may fit or not, be good, or only look so.
func (d *dice) image(n int) spec.Image {
	c := d.container()
	return spec.Image{
		Container: pick(d, "web", "web", "base"), ID: fmt.Sprintf("20261123-110000%03d", n), CreatedAt: epoch.Add(time.Duration(d.roll(5)-3) * time.Hour),
		Spec: c, Hash: spec.Identity(c, 1), Defaults: 1, Problem: pick(d, "", "", "", "it is damaged"),
		Memory: pick[spec.Bytes](d, 1, 1, damaged),
	}
}

// damaged is the size of the memory of images that are, for who looks.
const damaged = 13

func (d *dice) instance(id uint64) spec.Instance {
	c := d.container()
	in := spec.Instance{
		Name: "web", ID: id, Spec: c, Hash: spec.Identity(c, 1), Defaults: 1, Resources: c.Spec.Resources, Wanted: c.Spec.Resources,
		Phase: pick(d, spec.InstanceRunning, spec.InstanceCreated, spec.InstancePaused, spec.InstanceExited, spec.InstanceBroken),
	}
	switch in.Phase {
	case spec.InstanceBroken:
		in.Spec, in.Hash, in.Problem = spec.Container{}, "", "half-made"
		return in
	case spec.InstanceExited:
		in.Exit = &spec.Exit{Code: d.roll(2), Reason: pick(d, spec.ExitError, spec.ExitStopped, spec.ExitUnknown, spec.ExitCheckpointed), FinishedAt: epoch.Add(time.Duration(d.roll(3)-1) * time.Hour)}
		in.Starts = 1
	case spec.InstanceRunning, spec.InstancePaused:
		in.Pid, in.Starts = 100+int(id), 1
		if d.roll(4) == 0 {
			in.Stopping = spec.Stopping{Signal: "SIGTERM", Deadline: epoch.Add(time.Duration(d.roll(9)-4) * time.Second)}
		}
	}
	switch d.roll(6) {
	case 0:
		in.Resources.Memory.Max = spec.MaxLimit()
	case 1:
		in.Spec, in.Wanted, in.Resources = spec.Container{}, spec.Resources{}, spec.Resources{}
	}
	return in
}

// subject is a name in any state that a node and a store can be in.
func (d *dice) subject() reconcile.Subject {
	s := reconcile.Subject{Name: "web", Record: record.Record{Name: "web"}}
	if d.roll(4) > 0 {
		s.Desired = &reconcile.Desired{Container: d.container(), Accepted: reconcile.Acceptance{Status: spec.True}}
		s.Record.Container = s.Desired.Container
	} else {
		s.Record.Container, s.Record.Removed = d.container(), true
	}
	for id := range uint64(d.roll(4)) {
		s.Observed = append(s.Observed, d.instance(id+1))
	}
	s.Record.Generation = 1
	s.Record.Override.State = pick(d, "", "", spec.StateRunning, spec.StatePaused, spec.StateStopped, spec.StateCheckpointed)
	s.Record.Runs = record.Runs{Instance: uint64(d.roll(4)), Starts: d.roll(3), Exited: d.roll(2) == 0, Restarts: d.roll(3), Streak: d.roll(12)}
	s.Record.Restart = record.Restart{Instance: uint64(d.roll(4)), Starts: d.roll(3)}
	s.Record.Drift = record.Drift{Count: d.roll(9), Last: epoch}
	if d.roll(3) == 0 {
		s.Failure = reconcile.Failure{Verb: pick(d, "Create", "Start", "Update", "Stop", "Destroy", "Restore", "Checkpoint"), Err: errors.New("failed"), Count: d.roll(9), Retry: epoch.Add(time.Duration(d.roll(3)) * time.Second)}
	}
	for n := range d.roll(4) {
		s.Images = append(s.Images, d.image(n))
	}
	s.Record.Suspended = d.roll(4) == 0
	s.Record.Images.Climbing = d.roll(8) == 0
	s.Record.Images.Failures = d.roll(3)
	s.Record.Images.Tried = epoch.Add(time.Duration(d.roll(3)-1) * time.Minute)
	if d.roll(4) == 0 && len(s.Images) > 0 {
		s.Record.Restore = record.Restore{Image: s.Images[0].Ref(), Instance: uint64(d.roll(3)), Starts: d.roll(3)}
	}
	if d.roll(6) == 0 && len(s.Images) > 0 {
		s.Record.Images.Bad = []record.BadImage{{Image: s.Images[0].Ref(), Problem: pick(d, "", "it was damaged"), Passing: d.roll(2) == 0, Quick: d.roll(4)}}
	}
	if d.roll(10) == 0 {
		s.Down = reconcile.Down{Since: epoch, By: pick(d, time.Time{}, epoch.Add(time.Minute))}
	}
	return s
}

// model does to instances what a node would do, at once.
func model(s *reconcile.Subject, list []spec.Instance, a reconcile.Action, now time.Time) ([]spec.Instance, error) {
	i := slices.IndexFunc(list, func(in spec.Instance) bool { return in.ID == a.Instance })
	if a.Verb == reconcile.VerbCreate {
		if i >= 0 {
			return nil, fmt.Errorf("instance %d is there", a.Instance)
		}
		return append(list, spec.Instance{
			Name: a.Name, ID: a.Instance, Phase: spec.InstanceCreated, Spec: a.Container, Hash: spec.Identity(a.Container, spec.DefaultsVersion), Defaults: spec.DefaultsVersion,
			Resources: a.Container.Spec.Resources, Wanted: a.Container.Spec.Resources,
		}), nil
	}
	if i < 0 {
		return nil, fmt.Errorf("no instance %d", a.Instance)
	}
	in := &list[i]
	alive := in.Phase == spec.InstanceRunning || in.Phase == spec.InstancePaused
	if !s.Down.IsZero() && a.Verb != reconcile.VerbStop && a.Verb != reconcile.VerbKill && a.Verb != reconcile.VerbCheckpoint {
		return nil, fmt.Errorf("%s while the node goes down", a.Verb)
	}
	if in.Phase == spec.InstanceBroken && a.Verb != reconcile.VerbDestroy {
		return nil, errors.New("it is broken")
	}
	switch a.Verb {
	case reconcile.VerbDestroy:
		return slices.Delete(list, i, i+1), nil
	case reconcile.VerbStart, reconcile.VerbRestore:
		if a.Verb == reconcile.VerbRestore {
			if bad, err := restorable(s, *in, a); bad || err != nil {
				return list, err
			}
		}
		for _, other := range list {
			if other.Phase == spec.InstanceRunning || other.Phase == spec.InstancePaused {
				return nil, fmt.Errorf("instance %d runs", other.ID)
			}
		}
		in.Phase, in.Exit, in.Pid, in.StartedAt = spec.InstanceRunning, nil, 7, now
		in.Starts++
	case reconcile.VerbUpdate:
		in.Spec, in.Resources, in.Wanted = a.Container, a.Container.Spec.Resources, a.Container.Spec.Resources
	case reconcile.VerbStop:
		if !alive || a.Signal == "" || a.Timeout <= 0 {
			return nil, errors.New("a stop of nothing, or without signal or timeout")
		}
		in.Phase, in.Stopping = spec.InstanceRunning, spec.Stopping{Signal: a.Signal, Deadline: now.Add(a.Timeout)}
	case reconcile.VerbKill:
		in.Phase, in.Stopping, in.Exit = spec.InstanceExited, spec.Stopping{}, &spec.Exit{Code: 137, Reason: spec.ExitStopTimeout, FinishedAt: now}
	case reconcile.VerbCheckpoint:
		if !alive {
			return nil, errors.New("an image of nothing")
		}
		s.Record.Images.Tried, s.Record.Images.Failures = now, 0
		s.Images = append(s.Images, spec.Image{
			Container: "web", ID: fmt.Sprintf("20261124-110000%03d", len(s.Images)), CreatedAt: now, Instance: in.ID, Starts: in.Starts,
			Spec: in.Spec, Hash: in.Hash, Defaults: in.Defaults,
		})
		if a.Options.Stop {
			in.Phase, in.Stopping, in.Exit = spec.InstanceExited, spec.Stopping{}, &spec.Exit{Code: 137, Reason: spec.ExitCheckpointed, FinishedAt: now}
		}
	case reconcile.VerbPause:
		in.Phase = spec.InstancePaused
	case reconcile.VerbResume:
		in.Phase = spec.InstanceRunning
	}
	return list, nil
}

// restorable tells whether an image turns out to be bad, which the record notes; the planner must not ask for one of which it could know that.
func restorable(s *reconcile.Subject, in spec.Instance, a reconcile.Action) (bad bool, err error) {
	i := slices.IndexFunc(s.Images, func(i spec.Image) bool { return i.Ref() == a.Image })
	switch {
	case i < 0:
		return false, fmt.Errorf("no image %q", a.Image)
	case s.Images[i].Problem != "":
		return false, fmt.Errorf("image %s is of no use", a.Image)
	case a.Origin.Image != a.Image || a.Origin.Instance != in.ID || a.Origin.Starts != in.Starts+1:
		return false, fmt.Errorf("image %s is written down as %+v", a.Image, a.Origin)
	case s.Images[i].Memory == damaged:
		s.Images[i].Problem = "it is damaged"
		return true, nil
	}
	return false, spec.Restorable(s.Images[i], in.Spec, in.Defaults)
}

// reached tells what is not as it should be when the planner wants nothing more.
func reached(s reconcile.Subject) error {
	alive := 0
	for _, in := range s.Observed {
		if in.Phase == spec.InstanceRunning || in.Phase == spec.InstancePaused {
			alive++
		}
	}
	if s.Desired == nil && s.Down.IsZero() {
		if len(s.Observed) > 0 {
			return errors.New("removed, but instances are left")
		}
		return nil
	}
	if !s.Down.IsZero() {
		if alive > 0 {
			return errors.New("the node goes down, but it runs")
		}
		return nil
	}
	want := s.Desired.Container.Spec
	if s.Record.Override.State != "" {
		want.State = s.Record.Override.State
	}
	if want.State == spec.StateStopped || want.State == spec.StateCheckpointed {
		if alive > 0 {
			return errors.New("stopped or in an image, but it runs")
		}
		return nil
	}
	if len(s.Observed) != 1 {
		return fmt.Errorf("%d instances", len(s.Observed))
	}
	in := s.Observed[0]
	phase := spec.InstanceRunning
	if want.State == spec.StatePaused {
		phase = spec.InstancePaused
	}
	over := in.Phase == spec.InstanceExited && (want.Restart.Policy == spec.RestartNever || want.Restart.Policy == spec.RestartOnFailure && in.Exit.Code == 0)
	switch {
	case in.Phase != phase && !over:
		return fmt.Errorf("it is %s, not %s", in.Phase, phase)
	case in.Spec.Spec.Command[0] != want.Command[0] || !in.Resources.Equal(want.Resources):
		return fmt.Errorf("it is %+v", in)
	}
	return nil
}

// play plans and acts until there is nothing to do.
func play(s reconcile.Subject) error {
	now := epoch
	for range 60 {
		d := reconcile.Plan(s, now)
		if again := reconcile.Plan(s, now); len(again.Actions) != len(d.Actions) {
			return errors.New("two plans of the same differ")
		}
		s.Record = d.Record
		if len(d.Actions) > 0 {
			if d.Actions[0].Cause == "" {
				return fmt.Errorf("%s without a cause", d.Actions[0].Verb)
			}
			var err error
			if s.Observed, err = model(&s, slices.Clone(s.Observed), d.Actions[0], now); err != nil {
				return fmt.Errorf("%+v: %w", d.Actions[0], err)
			}
			if s.Failure.Verb == d.Actions[0].Verb {
				s.Failure = reconcile.Failure{}
			}
			if d.Actions[0].Repair {
				s.Record.Drift.Count, s.Record.Drift.Last = s.Record.Drift.Count+1, now
			}
			continue
		}
		if d.Wake.IsZero() || d.Waits.IsZero() {
			return reached(s)
		}
		if !d.Wake.After(now) {
			return fmt.Errorf("it wakes at %v, which is not after %v", d.Wake, now)
		}
		now = d.Wake
		for i := range s.Observed {
			if in := &s.Observed[i]; !in.Stopping.IsZero() && !in.Stopping.Deadline.After(now) && in.ID%2 == 0 {
				in.Phase, in.Stopping, in.Exit = spec.InstanceExited, spec.Stopping{}, &spec.Exit{Code: 137, Reason: spec.ExitStopTimeout, FinishedAt: now}
			}
		}
	}
	return errors.New("no end")
}

// The same for states drawn at random, so that every run of the tests sees many.
func TestPlanReaches(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	rounds := 5000
	if os.Getenv("RECONCILER_SOAK") != "" {
		rounds = 1_000_000
	}
	for range rounds {
		data := make([]byte, 192)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		if s := (&dice{data}).subject(); play(s) != nil {
			t.Fatalf("%v\n%+v", play(s), s)
		}
	}
}

// A status says when a failed action is tried again, before the hint of the error, which stays last.
func TestRetryBeforeHint(t *testing.T) {
	for failure, want := range map[string]string{
		"no memory":                           "no memory; try 6 at 12:00:30Z",
		"no rootfs at /srv\nhint: unpack one": "no rootfs at /srv; try 6 at 12:00:30Z\nhint: unpack one",
	} {
		c := (&dice{}).container()
		s := reconcile.Subject{
			Name: "web", Desired: &reconcile.Desired{Container: c},
			Failure: reconcile.Failure{Verb: reconcile.VerbCreate, Err: errors.New(failure), Count: 5, Retry: epoch.Add(30 * time.Second)},
		}
		if status := reconcile.Plan(s, epoch).Status; status.Phase != spec.PhaseBackOff || status.Message != want {
			t.Errorf("got %s %q, want %q", status.Phase, status.Message, want)
		}
	}
}

// From any state of node and store, acting on plans leads to what is asked for, in few rounds, and every action can be done.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("web"))
	for i := range byte(40) {
		f.Add([]byte{i, i * 7, i * 3, i * 11, i * 13, i * 17, i, i * 5, 3, i * 23, i * 29, i, i * 31, i * 37, i * 41, i * 43})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := (&dice{data}).subject()
		if err := play(s); err != nil {
			t.Fatalf("%v\n%+v", err, s)
		}
	})
}
