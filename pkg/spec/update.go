package spec

import "time"

// Update says when a changed manifest has proven itself, and what happens when it does not.
type Update struct {
	// HealthyWithin is how long a changed manifest may take until its container has been ready for healthyFor. Default 5m. Time in which nothing can run - it is to be stopped or paused, waits for others, or for the end of what ran before - does not count.
	HealthyWithin Duration `json:"healthyWithin,omitzero" class:"live" min:"1ms"`
	// HealthyFor is how long the container has to be ready without a break: its process runs, and its startup and readiness probes, if there are any, succeed. One that has completed needs no time. Default 10s.
	HealthyFor Duration `json:"healthyFor,omitzero" class:"live" min:"1ms"`
	// OnFailure is Rollback (return to the last manifest that has proven itself, until the manifest changes again) or Keep. Default: Rollback if healthyWithin is said or there is a startup or readiness probe, else Keep.
	OnFailure OnFailure `json:"onFailure,omitzero" class:"live"`
	// History is how many earlier manifests are remembered, for rollout history and undo. Default 10.
	History int `json:"history,omitzero" class:"live" min:"1" max:"100"`
}

// OnFailure names what happens to a manifest that does not prove itself.
type OnFailure string

// What can happen to a manifest that does not prove itself.
const (
	FailureRollback OnFailure = "Rollback"
	FailureKeep     OnFailure = "Keep"
)

// Updating is how updates of a container go, with all default values.
func (s ContainerSpec) Updating() Update {
	u := s.Update
	if u.OnFailure == "" {
		u.OnFailure = FailureKeep
		if u.HealthyWithin > 0 || s.Probes.Startup != nil || s.Probes.Readiness != nil {
			u.OnFailure = FailureRollback
		}
	}
	orElse(&u.HealthyWithin, Duration(5*time.Minute))
	orElse(&u.HealthyFor, Duration(10*time.Second))
	orElse(&u.History, 10)
	return u
}
