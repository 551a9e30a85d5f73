package spec

import "time"

// Rollout is how a changed manifest proves itself, as a status shows it.
type Rollout struct {
	// Generation is that of the manifest, InForce that of the one in force: another after a return.
	Generation int64        `json:"generation"`
	InForce    int64        `json:"inForce"`
	State      RolloutState `json:"state"`
	Message    string       `json:"message,omitzero"`
	// By is who returned to an earlier manifest, if anybody did.
	By ReturnedBy `json:"by,omitzero"`
	// Since is when the manifest came into force.
	Since time.Time `json:"since,omitzero"`
}

// RolloutState is how far a manifest has proven itself.
type RolloutState string

// The states of a rollout.
const (
	RolloutProgressing RolloutState = "Progressing" // it has not proven itself yet
	RolloutHealthy     RolloutState = "Healthy"     // it has
	RolloutFailed      RolloutState = "Failed"      // it has not in time, and is in force all the same
	RolloutRolledBack  RolloutState = "RolledBack"  // an earlier one is in force in its place
)

// ReturnedBy is who returned to an earlier manifest.
type ReturnedBy string

// Who can return to an earlier manifest.
const (
	ReturnedByHealth ReturnedBy = "Health" // the agent: the newest did not prove itself
	ReturnedByGroup  ReturnedBy = "Group"  // the agent: that of another container of the group, which changed with it, did not
	ReturnedByHand   ReturnedBy = "Hand"   // somebody
)

// Revision is a manifest of the history.
type Revision struct {
	Rollout
	// Changes are the fields by which it differs from the one before, with their values.
	Changes []Change `json:"changes,omitzero"`
}
