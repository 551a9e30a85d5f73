package spec

import "time"

// Object is a container as the API and `get -o json` show it.
type Object struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   ObjectMetadata `json:"metadata"`
	// Spec is the manifest's in force; none when its record is lost.
	Spec ContainerSpec `json:"spec,omitzero"`
	// Status is what the node reports; none in a bookmark of a watch.
	Status Status `json:"status,omitzero"`
}

// ObjectMetadata is Metadata with what the node adds.
type ObjectMetadata struct {
	Metadata
	// Generation grows by one with every accepted change of the spec.
	Generation int64 `json:"generation"`
	// ResourceVersion orders all changes of all objects of this agent's life; watches resume from it.
	ResourceVersion uint64 `json:"resourceVersion"`
}

// Status is what a node reports of one container.
type Status struct {
	Phase Phase `json:"phase"`
	// Message says in one line, for people, why the phase is what it is.
	Message            string          `json:"message,omitzero"`
	Conditions         []Condition     `json:"conditions,omitzero"`
	ObservedGeneration int64           `json:"observedGeneration"`
	Source             Source          `json:"source,omitzero"`
	Override           Override        `json:"override,omitzero"`
	Container          ContainerStatus `json:"container,omitzero"`
	// Rollout is how the newest manifest proves itself.
	Rollout Rollout `json:"rollout,omitzero"`
	// Job is what there is to tell of a job.
	Job JobStatus `json:"job,omitzero"`
	// Configs are those that the container uses.
	Configs []ConfigStatus `json:"configs,omitzero"`
	// Pending are the actions still to do, empty when converged.
	Pending []PendingAction `json:"pending,omitzero"`
}

// Source is where an object was read from.
type Source struct {
	Path string `json:"path,omitzero"`
	Line int    `json:"line,omitzero"`
}

// Override is what somebody set by hand over the manifest: a state, or that nothing is done about the container. It is shown until it is cleared or ends.
type Override struct {
	State     State     `json:"state,omitzero"`
	Suspended bool      `json:"suspended,omitzero"`
	Since     time.Time `json:"since,omitzero"`
	// Until is when it ends by itself; zero for never.
	Until time.Time `json:"until,omitzero"`
}

// IsZero tells whether the manifest alone decides.
func (o Override) IsZero() bool { return o.State == "" && !o.Suspended }

// JobStatus is what there is to tell of a job.
type JobStatus struct {
	// LastScheduled is the time of the schedule that the latest run was for, Next that of the next.
	LastScheduled time.Time `json:"lastScheduled,omitzero"`
	Next          time.Time `json:"next,omitzero"`
	// LeftOut is how many runs were left out because one went on.
	LeftOut int `json:"leftOut,omitzero"`
	// Runs are how the latest runs ended, the newest last.
	Runs []Exit `json:"runs,omitzero"`
}

// ContainerStatus is the running side of a status.
type ContainerStatus struct {
	Instance uint64 `json:"instance,omitzero"`
	Pid      int    `json:"pid,omitzero"`
	// Ready tells that the process runs and its startup and readiness probes, if there are any, succeed.
	Ready        bool      `json:"ready"`
	StartedAt    time.Time `json:"startedAt,omitzero"`
	RestartCount int       `json:"restartCount"`
	LastExit     *Exit     `json:"lastExit,omitempty"`
	// OOMKills is how many processes of the instance were killed for want of memory, process 1 and others.
	OOMKills  uint64    `json:"oomKills,omitzero"`
	Cgroup    string    `json:"cgroup,omitzero"`
	Resources Resources `json:"resources,omitzero"`
}

// ConfigStatus is a config that a container uses.
type ConfigStatus struct {
	Name string `json:"name"`
	// Hash is a short hash of what the container gets of it, Keys are those of its single keys; of a sensitive one there are none.
	Hash string            `json:"hash,omitzero"`
	Keys map[string]string `json:"keys,omitzero"`
	// Found tells that there is a manifest of it, Seen that the process knows of the newest, or need not.
	Found     bool `json:"found"`
	Seen      bool `json:"seen"`
	Sensitive bool `json:"sensitive,omitzero"`
}

// PendingAction is an action the planner wants, with its cause.
type PendingAction struct {
	Verb  string `json:"verb"`
	Cause string `json:"cause"`
}

// Phase is the one-word summary of a container.
type Phase string

// The phases.
const (
	PhasePending      Phase = "Pending"
	PhaseStarting     Phase = "Starting"
	PhaseRunning      Phase = "Running"
	PhasePaused       Phase = "Paused"
	PhaseStopped      Phase = "Stopped"
	PhaseCheckpointed Phase = "Checkpointed"
	PhaseCompleted    Phase = "Completed"
	PhaseBackOff      Phase = "BackOff"
	PhaseFailed       Phase = "Failed"
	PhaseTerminating  Phase = "Terminating"
)

// Condition is one aspect of a status, in the form of Kubernetes conditions.
type Condition struct {
	Type               ConditionType   `json:"type"`
	Status             ConditionStatus `json:"status"`
	Reason             string          `json:"reason"`
	Message            string          `json:"message,omitzero"`
	LastTransitionTime time.Time       `json:"lastTransitionTime,omitzero"`
}

// ConditionType names an aspect.
type ConditionType string

// The aspects. Ready, Reconciling and Stalled follow kstatus.
const (
	ConditionReady       ConditionType = "Ready"       // the container does what its manifest says
	ConditionReconciling ConditionType = "Reconciling" // actions are pending
	ConditionStalled     ConditionType = "Stalled"     // actions keep failing, or wait for a person
	ConditionAccepted    ConditionType = "Accepted"    // the newest manifest is in force
	ConditionDrifted     ConditionType = "Drifted"     // the kernel differed from the spec and was repaired, or cannot be
	ConditionOutdated    ConditionType = "Outdated"    // created under older default values

	ConditionSuspended  ConditionType = "Suspended"  // nothing is done about the container
	ConditionRolledBack ConditionType = "RolledBack" // an earlier manifest is in force in place of the newest

	ConditionCheckpointed ConditionType = "Checkpointed" // the newest image that was due is there
	ConditionRestored     ConditionType = "Restored"     // what runs began from an image; false when it should have
)

// ConditionStatus is True, False or Unknown.
type ConditionStatus string

// The values of a condition.
const (
	True    ConditionStatus = "True"
	False   ConditionStatus = "False"
	Unknown ConditionStatus = "Unknown"
)
