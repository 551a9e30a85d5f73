package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A container whose memory is still to come says so, and one that can never have it begins again from its image, which is not to blame, however it is restarted.
func TestMemoryThatFollows(t *testing.T) {
	c := (&dice{}).container()
	c.Spec.State, c.Spec.Restart.Policy, c.Spec.Checkpoint.Lazy = spec.StateRunning, spec.RestartNever, true
	hash := spec.Identity(c, spec.DefaultsVersion)
	in := spec.Instance{
		Name: "web", ID: 1, Spec: c, Hash: hash, Defaults: spec.DefaultsVersion, Resources: c.Spec.Resources, Wanted: c.Spec.Resources,
		Phase: spec.InstanceRunning, Pid: 100, Starts: 2, StartedAt: epoch, Filling: true,
	}
	s := reconcile.Subject{
		Name: "web", Desired: &reconcile.Desired{Container: c}, Observed: []spec.Instance{in},
		Images: []spec.Image{{Container: "web", ID: "20261123-115900000", Hash: hash, Defaults: spec.DefaultsVersion, Spec: c}},
	}
	d := reconcile.Plan(s, epoch)
	if len(d.Actions) > 0 || !strings.Contains(d.Status.Message, "memory is still coming") {
		t.Errorf("filling: %+v, %q", d.Actions, d.Status.Message)
	}
	in.Phase, in.Filling, in.Pid = spec.InstanceExited, false, 0
	in.Exit = &spec.Exit{Code: 137, Signal: "SIGKILL", Reason: spec.ExitMemoryLost, StartedAt: epoch, FinishedAt: epoch.Add(time.Second)}
	s.Record, s.Observed = d.Record, []spec.Instance{in}
	d = reconcile.Plan(s, epoch.Add(time.Minute))
	if len(d.Actions) == 0 || d.Actions[0].Verb != reconcile.VerbRestore || d.Actions[0].Image != s.Images[0].Ref() {
		t.Errorf("lost: %+v", d.Actions)
	}
	if len(d.Record.Images.Bad) > 0 {
		t.Errorf("lost: the image is blamed: %+v", d.Record.Images.Bad)
	}
}
