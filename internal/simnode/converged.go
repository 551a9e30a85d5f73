package simnode

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Converged says what is not as it was last asked for, by a manifest or by hand, when everything has had its time. Names that the agent has to leave
// alone are left out, and so are those of skip.
func (o *Oracle) Converged(m *Machine, skip ...string) (wrong []string) {
	o.mu.Lock()
	asked, overrides := maps.Clone(o.history), o.ledger.overrides()
	maps.DeleteFunc(asked, func(name string, _ []Version) bool { return o.ledger.held[name] || slices.Contains(skip, name) })
	o.mu.Unlock() // the machine asks the oracle while it is locked itself
	shown := m.Instances()
	for name, history := range asked {
		want := history[len(history)-1].Container
		if state := overrides[name]; state != "" && want != nil {
			set := *want
			set.Spec.State = state
			want = &set
		}
		if why := differs(want, shown[name], m.Images(name), m.Refuses(name)); why != "" {
			wrong = append(wrong, name+": "+why)
		}
	}
	slices.Sort(wrong)
	return wrong
}

// differs says what is not as it should be. One that cannot be saved may run on.
func differs(want *spec.Container, instances []spec.Instance, images []spec.Image, refused bool) string {
	live := slices.ContainsFunc(instances, hasProcess)
	switch {
	case want == nil && len(instances) > 0:
		return fmt.Sprintf("removed, but %d instances are left", len(instances))
	case want == nil:
		return ""
	case want.Spec.State == spec.StateStopped && live:
		return "stopped, but it has a process"
	case want.Spec.State == spec.StateStopped:
		return ""
	case want.Spec.State == spec.StateCheckpointed && live && !refused:
		return "is to be in an image, but it has a process"
	case want.Spec.State == spec.StateCheckpointed && !live:
		return unsaved(instances, images)
	case len(instances) != 1:
		return fmt.Sprintf("%d instances", len(instances))
	}
	in := instances[0]
	phase := spec.InstanceRunning
	if want.Spec.State == spec.StatePaused || want.Spec.State == spec.StateCheckpointed && in.Phase == spec.InstancePaused {
		phase = spec.InstancePaused
	}
	done := in.Phase == spec.InstanceExited && in.Exit != nil && byItself(in.Exit.Reason) && !restartsAfter(*want, in.Exit.Code)
	got, asked := in.Spec.Spec, want.Spec
	got.State, asked.State = "", ""
	switch {
	case in.Phase != phase && !done:
		return fmt.Sprintf("is %s, not %s", in.Phase, phase)
	case !reflect.DeepEqual(got, asked):
		return fmt.Sprintf("has spec %+v, not %+v", got, asked)
	case !reflect.DeepEqual(in.Spec.Metadata, want.Metadata):
		return fmt.Sprintf("has metadata %+v, not %+v", in.Spec.Metadata, want.Metadata)
	case !in.Resources.Equal(want.Spec.Resources):
		return fmt.Sprintf("has limits %+v, not %+v", in.Resources, want.Spec.Resources)
	}
	return ""
}

// unsaved says what of an instance that ended in an image is not in one.
func unsaved(instances []spec.Instance, images []spec.Image) string {
	for _, in := range instances {
		if in.Exit == nil || in.Exit.Reason != spec.ExitCheckpointed {
			continue
		}
		if !slices.ContainsFunc(images, func(i spec.Image) bool { return i.IsOf(in) && i.Stopped }) {
			return fmt.Sprintf("instance %d ended in an image that is not there", in.ID)
		}
	}
	return ""
}
