package attribute

import (
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/landlock"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Say puts what a manifest says about scheduling, placement, labels, keyring and Landlock into the plan. What this node cannot give is an
// error, before anything is made.
func (plan *Plan) Say(s spec.ContainerSpec, node capability.Node) (err error) {
	plan.Inherit = s.Base == spec.BaseNone
	plan.OOMScoreAdj = s.OOMScoreAdj
	plan.InheritKeyring = s.Security.Keyring == spec.KeyringInherit
	if plan.Scheduler, err = newScheduler(s.Scheduler, node); err != nil {
		return err
	}
	if plan.IOPriority, err = newIOPriority(s.IOPriority, node); err != nil {
		return err
	}
	if plan.Affinity, err = newAffinity(s.CPUAffinity); err != nil {
		return err
	}
	if plan.MemoryPolicy, err = newMemoryPolicy(s.MemoryPolicy); err != nil {
		return err
	}
	if plan.Personality, err = newPersonality(s.Personality); err != nil {
		return err
	}
	if plan.Labels, err = newLabels(s.Security); err != nil {
		return err
	}
	if plan.Sysctls, err = NewSysctls(s); err != nil {
		return err
	}
	plan.Landlock, err = landlock.New(s.Security.Landlock, feature.LandlockABI())
	return err
}
