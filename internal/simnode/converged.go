package simnode

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Converged says what is not as it was last asked for, by a manifest or by hand, when everything has had its time. Names that the agent has to leave
// alone are left out, and so are those of skip.
func (o *Oracle) Converged(m *Machine, skip ...string) (wrong []string) {
	o.mu.Lock()
	asked, overrides, down := maps.Clone(o.history), o.ledger.overrides(), o.down.on
	records, fars := maps.Clone(o.ledger.records), maps.Clone(o.far)
	maps.DeleteFunc(asked, func(name string, _ []Version) bool {
		return o.ledger.held[name] || o.orphans[name] || slices.Contains(skip, name)
	})
	o.mu.Unlock() // the machine asks the oracle while it is locked itself
	shown := m.Instances()
	for name, history := range asked {
		want := history[len(history)-1].Container
		r := records[name]
		if back := returned(r); back != nil && want != nil {
			dependsOn := want.Spec.DependsOn // is that of the newest
			want = back
			waits := *back
			waits.Spec.DependsOn = dependsOn
			if o.held(waits) && !fars[name].up.on {
				continue
			}
		}
		if state := overrides[name]; state != "" && want != nil {
			set := *want
			set.Spec.State = state
			want = &set
		}
		switch {
		case want != nil && !r.Override.Until.IsZero() && time.Since(r.Override.Until) > seen && !down:
			wrong = append(wrong, name+": what was set by hand is over")
		case down && fars[name].up.on && want != nil:
			wrong = append(wrong, name+": the node is down, but it has a process")
			continue
		case down, want != nil && (r.Override.Suspended || want.Spec.Suspend):
			continue
		case want != nil && want.Spec.Job.History > 0 && r.Job.Completed == spec.Identity(*want, spec.DefaultsVersion) && len(shown[name]) == 0:
			continue
		case want != nil && runs(*want) && (len(shown[name]) > 1 || !fars[name].up.on) && o.held(*want): // what runs makes room for a successor that can begin
			continue
		case want != nil && len(shown[name]) == 1 && !fars[name].up.on && ended(*want, r, shown[name][0]):
			continue
		case want != nil && len(shown[name]) == 1 && want.Spec.Job.Scheduled() && want.Spec.State != spec.StateStopped && want.Spec.State != spec.StateCheckpointed:
			if why := lost(*want, shown[name][0], r); why != "" {
				wrong = append(wrong, name+": "+why)
			}
			continue
		}
		why := differs(want, shown[name], m.Images(name), m.Refuses(name))
		if o.lacks(want, shown[name]) {
			why = ""
		} else if why == "" {
			why = o.ungiven(want, shown[name])
		}
		if why != "" {
			wrong = append(wrong, name+": "+why)
		}
	}
	slices.Sort(wrong)
	return wrong
}

// held tells whether something that a container depends on may not be so far.
func (o *Oracle) held(c spec.Container) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(c.Spec.DependsOn, func(d spec.Dependency) bool { return !o.sure(d) })
}

// ended tells whether an exit is one that nothing follows: what was ended because it answered nothing good is not restarted by every policy.
func ended(want spec.Container, r record.Record, in spec.Instance) bool {
	return in.Exit != nil && r.LastExit != nil && r.LastExit.FinishedAt.Equal(in.Exit.FinishedAt) && r.LastExit.Reason == spec.ExitUnhealthy && !restartsAfter(want, *r.LastExit)
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
	done := in.Phase == spec.InstanceExited && in.Exit != nil && byItself(in.Exit.Reason) && !restartsAfter(*want, *in.Exit)
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
