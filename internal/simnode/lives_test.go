package simnode_test

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// lives are what an agent dies in the middle of.
var lives = map[string]life{
	"everything": {[]string{"Create", "Start", "Stop", "Kill", "Update", "Pause", "Resume", "Destroy", "Checkpoint", "Restore", "Images", "Observe", "Save", "Delete"}, everything},
	"rollback": {[]string{"Create", "Start", "Stop", "Destroy", "Save"}, []happening{
		{"created", asks(func(c *spec.Container) {
			c.Spec.Update = spec.Update{HealthyWithin: spec.Duration(8 * time.Second), HealthyFor: spec.Duration(2 * time.Second)}
		}), inForce(1)},
		{"a change that fails", answering(simnode.Failing, asks(func(c *spec.Container) {
			c.Spec.Command[2], c.Spec.Probes.Readiness = "trap 'exit 0' TERM; two", question(80)
		})), inForce(1)},
		{"tried again by hand", answering(simnode.Healthy, byHand(func(s *simulation) error {
			return s.agent.Override(s.t.Context(), "a", spec.Override{})
		})), inForce(2)},
		{"undone by hand", byHand(func(s *simulation) error { return s.agent.Undo(s.t.Context(), "a", 0) }), inForce(1)},
		{"rebooted", func(s *simulation) { s.reboot("") }, inForce(1)},
		{"a change that holds", asks(func(c *spec.Container) { c.Spec.Command[2] = "trap 'exit 0' TERM; three" }), inForce(3)},
		{"removed", func(s *simulation) { s.remove("a") }, nil},
	}},
	"drain": {[]string{"Start", "Stop", "Checkpoint", "Restore", "Save"}, []happening{
		{"created", asks(func(*spec.Container) {}), runsNow(true)},
		{"drained", byHand(drains(false)), runsNow(false)},
		{"changed meanwhile", asks(func(c *spec.Container) { c.Spec.Command[2] = "trap 'exit 0' TERM; two" }), runsNow(false)},
		{"undrained", byHand(undrains), runsNow(true)},
		{"drained into an image", byHand(drains(true)), runsNow(false)},
		{"rebooted", func(s *simulation) { s.reboot("") }, runsNow(false)},
		{"undrained again", byHand(undrains), runsNow(true)},
		{"deaf", asks(func(c *spec.Container) {
			c.Spec.Command[2], c.Spec.Stop.Timeout = "trap ':' TERM; deaf", spec.Duration(5*time.Second)
		}), runsNow(true)},
		{"drained, and slow to end", byHand(drains(false)), runsNow(false)},
		{"removed", func(s *simulation) { s.remove("a") }, runsNow(false)},
		{"undrained for good", byHand(undrains), nil},
	}},
	"postStart": {[]string{"Start", "Stop", "Save"}, []happening{
		{"created", asks(func(c *spec.Container) {
			c.Spec.Lifecycle.PostStart = &spec.Handler{HTTP: &spec.HTTPProbe{Port: 80}, Timeout: spec.Duration(2 * time.Second)}
			c.Spec.Lifecycle.PreStop = &spec.Handler{Sleep: spec.Duration(time.Second)}
		}), runsNow(true)},
		{"it crashed", func(s *simulation) { s.machine.Crash("a", 1) }, runsNow(true)},
		{"it does not begin well", func(s *simulation) {
			s.answers("a", simnode.Failing, false)
			s.machine.Crash("a", 1)
			s.rest(6 * time.Second)
			s.answers("a", simnode.Healthy, true)
		}, runsNow(true)},
		{"it hangs", func(s *simulation) {
			s.answers("a", simnode.Hanging, false)
			s.machine.Wipe("a")
			s.rest(6 * time.Second)
			s.answers("a", simnode.Healthy, true)
		}, runsNow(true)},
		{"removed", func(s *simulation) { s.remove("a") }, nil},
	}},
	"unhealthy": {[]string{"Start", "Stop", "Save"}, []happening{
		{"created", asks(func(c *spec.Container) {
			c.Spec.Probes.Liveness, c.Spec.Probes.Startup = question(80), question(81)
			c.Spec.Restart.Backoff.Max = spec.Duration(2 * time.Second)
		}), runsNow(true)},
		{"it is ill for a while", ill(simnode.Failing), runsNow(true)},
		{"it hangs for a while", ill(simnode.Hanging), runsNow(true)},
		{"deaf", asks(func(c *spec.Container) {
			c.Spec.Command[2], c.Spec.Stop.Timeout = "trap ':' TERM; deaf", spec.Duration(3*time.Second)
		}), runsNow(true)},
		{"it refuses, and is deaf", ill(simnode.Refusing), runsNow(true)},
		{"given up when it is ill", asks(func(c *spec.Container) { c.Spec.Restart.Policy = spec.RestartNever }), runsNow(true)},
		{"ill", ill(simnode.Failing), runsNow(false)},
		{"restarted by hand", byHand(func(s *simulation) error { return s.agent.Restart(s.t.Context(), "a") }), runsNow(true)},
		{"removed", func(s *simulation) { s.remove("a") }, nil},
	}},
	"schedule": {[]string{"Create", "Start", "Stop", "Save"}, []happening{
		{"created", asks(func(c *spec.Container) {
			c.Spec.Command[2], c.Spec.Restart.Policy = "sleep 5; exit 0", spec.RestartOnFailure
			c.Spec.Job = spec.JobRuns{History: 3, Schedule: spec.Schedule{Cron: "* * * * *", TimeZone: "UTC"}}
		}), nil},
		{"some minutes later", func(s *simulation) { s.rest(3 * time.Minute) }, nil},
		{"runs that fail", asks(func(c *spec.Container) { c.Spec.Command[2], c.Spec.Restart.MaxRestarts = "sleep 2; exit 1", 1 }), nil},
		{"some minutes later", func(s *simulation) { s.rest(3 * time.Minute) }, nil},
		{"runs that are too long", asks(func(c *spec.Container) {
			c.Spec.Command[2], c.Spec.Job.Schedule.Concurrency = "trap 'exit 0' TERM; long", spec.ConcurrencyReplace
		}), nil},
		{"some minutes later", func(s *simulation) { s.rest(3 * time.Minute) }, nil},
		{"once", asks(func(c *spec.Container) { c.Spec.Command[2], c.Spec.Job.Schedule = "sleep 5; exit 0", spec.Schedule{} }), runsNow(false)},
		{"rebooted", func(s *simulation) { s.reboot("") }, runsNow(false)},
		{"removed", func(s *simulation) { s.remove("a") }, nil},
	}},
}

func question(port int) *spec.Probe {
	return &spec.Probe{HTTP: &spec.HTTPProbe{Port: port}, Period: spec.Duration(time.Second), FailureThreshold: 2}
}

// inForce tells whether the manifest of a generation is in force, and none is proving itself any more.
func inForce(generation int64) func(*simulation) bool {
	return func(s *simulation) bool {
		o, err := s.agent.Object("a")
		return err == nil && o.Status.Rollout.InForce == generation && o.Status.Rollout.State != spec.RolloutProgressing
	}
}

// answering changes what the container answers before something happens.
func answering(a simnode.Answer, do func(*simulation)) func(*simulation) {
	return func(s *simulation) {
		s.answers("a", a, reflect.ValueOf(a).Pointer() == reflect.ValueOf(simnode.Healthy).Pointer())
		do(s)
	}
}

func runsNow(so bool) func(*simulation) bool {
	return func(s *simulation) bool {
		return so == slices.ContainsFunc(s.machine.Instances()["a"], func(in spec.Instance) bool { return in.Phase == spec.InstanceRunning })
	}
}

// ill lets it answer badly for so long that it is noticed.
func ill(a simnode.Answer) func(*simulation) {
	return func(s *simulation) {
		s.answers("a", a, false)
		s.rest(7 * time.Second)
		s.answers("a", simnode.Healthy, true)
	}
}

func drains(checkpoint bool) func(*simulation) error {
	return func(s *simulation) error {
		ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
		defer cancel()
		s.oracle.Down(true, time.Time{}, checkpoint)
		defer s.downs()
		return s.agent.Drain(ctx, checkpoint)
	}
}

// undrains ends a drain: from its begin on things are begun again.
func undrains(s *simulation) error {
	s.oracle.Down(false, time.Time{}, false)
	defer s.downs()
	return s.agent.Undrain(s.t.Context())
}
