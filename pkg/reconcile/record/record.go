// Package record keeps what the agent must remember of each name: the last accepted manifest, counts, overrides and
// intents, one file a name. It knows files and their damage; it refuses to know the kernel, which is always asked first.
package record

import (
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Record is what is remembered of one name. The zero value of all but Name is a name seen for the first time.
type Record struct {
	Name string `json:"name"`

	// Source and Path tell where the manifest in force was read, Line its first line there.
	Source string `json:"source,omitzero"`
	Path   string `json:"path,omitzero"`
	Line   int    `json:"line,omitzero"`
	// Container is the last accepted manifest: what runs on while its file is broken, and what a removal stops by.
	Container spec.Container `json:"container"`
	// Generation grows by one with every accepted change of Container.
	Generation int64 `json:"generation"`
	// Guarded tells that the removal of the manifest was held back, and waits for a confirmation.
	Guarded bool `json:"guarded,omitzero"`
	// Removed tells that the removal of the manifest is confirmed: what is left is to be destroyed.
	Removed bool `json:"removed,omitzero"`

	// NextInstance is the smallest id that no instance ever had.
	NextInstance uint64 `json:"nextInstance,omitzero"`
	// Intent is the action begun last of those that make or unmake an instance, or what it runs from.
	Intent Intent `json:"intent,omitzero"`

	// Rollout is how Container proves itself, History the manifests before it, oldest first, and Rollback tells which of them is in force in its place.
	Rollout  Rollout    `json:"rollout,omitzero"`
	History  []Revision `json:"history,omitzero"`
	Rollback Rollback   `json:"rollback,omitzero"`

	// Health is what the probes said last, Unhealthy the run that has to end because of it.
	Health    Health  `json:"health,omitzero"`
	Unhealthy Restart `json:"unhealthy,omitzero"`
	// PostStart is the run whose postStart has still to be done.
	PostStart PostStart `json:"postStart,omitzero"`

	// Job is what is remembered of a job.
	Job Job `json:"job,omitzero"`

	// Runs counts the runs of the newest instance.
	Runs Runs `json:"runs,omitzero"`
	// LastExit is how the latest run that ended did.
	LastExit *spec.Exit `json:"lastExit,omitempty"`
	// Drift counts repairs of what was changed by hand.
	Drift Drift `json:"drift,omitzero"`

	// Override is a state set by hand over the manifest's.
	Override spec.Override `json:"override,omitzero"`
	// Restart is a restart asked for by hand and not done yet, Restore a restore.
	Restart Restart `json:"restart,omitzero"`
	Restore Restore `json:"restore,omitzero"`

	// Images is what is remembered of images, Origin what the newest run began from.
	Images Images `json:"images,omitzero"`
	Origin Origin `json:"origin,omitzero"`
	// Suspended tells that the latest run ended in an image because it was to be Checkpointed: the next one begins from there, in whatever instance.
	Suspended bool `json:"suspended,omitzero"`
}

// Job is what is remembered of a job.
type Job struct {
	// Last is the time of the schedule of which the latest run is, or that was left out; LeftOut counts the latter.
	Last    time.Time `json:"last,omitzero"`
	LeftOut int       `json:"leftOut,omitzero"`
	// Tick is the run that the schedule began last.
	Tick Tick `json:"tick,omitzero"`
	// Completed is the identity of what has completed, of a job without a schedule.
	Completed string `json:"completed,omitzero"`
	// Runs are how the latest runs ended, the newest last.
	Runs []spec.Exit `json:"runs,omitzero"`
}

// Tick is a run that a schedule begins: the one that start number Starts of an instance begins.
type Tick struct {
	Time     time.Time `json:"time"`
	Instance uint64    `json:"instance"`
	Starts   int       `json:"starts"`
}

// PostStart is what has to be done after the start of one run, and how it has failed.
type PostStart struct {
	Restart
	Failed string `json:"failed,omitzero"`
}

// Drain tells that the node is drained: all is brought down, until somebody ends that. The zero value is a node that is not.
type Drain struct {
	Since time.Time `json:"since"`
	// Checkpoint tells that what can goes into images, and goes on from them.
	Checkpoint bool `json:"checkpoint,omitzero"`
}

// IsZero tells whether the node is not drained.
func (d Drain) IsZero() bool { return d.Since.IsZero() }

// Intent is an action written down before it is done.
type Intent struct {
	Verb     string    `json:"verb"`
	Instance uint64    `json:"instance"`
	Cause    string    `json:"cause"`
	Since    time.Time `json:"since"`
	// Origin is, of what begins a run, what it begins from.
	Origin Origin `json:"origin,omitzero"`
}

// Runs counts the runs of one instance as far as they were seen.
type Runs struct {
	Instance uint64 `json:"instance"`
	Starts   int    `json:"starts"`          // starts seen
	Exited   bool   `json:"exited,omitzero"` // the latest of them has ended, and its exit is in LastExit
	Restarts int    `json:"restarts"`        // starts that followed an exit nobody asked for
	Streak   int    `json:"streak,omitzero"` // such starts since the last healthy run
	// Began is when the first of them started, or the first since somebody restarted it or its manifest changed: deadlines count from it.
	Began time.Time `json:"began,omitzero"`
	// OOMKills are the kills for want of memory in this instance, and OOMCounter what the kernel's count was when they were last seen: it
	// begins anew when a cgroup is made anew.
	OOMKills   uint64 `json:"oomKills,omitzero"`
	OOMCounter uint64 `json:"oomCounter,omitzero"`
}

// Drift counts repairs of one generation.
type Drift struct {
	Count   int       `json:"count"`
	Last    time.Time `json:"last"` // repaired or tried
	Message string    `json:"message"`
	// Failures counts those that failed since one succeeded.
	Failures int `json:"failures,omitzero"`
}

// Restart names the run that has to end: the one that start number Starts of an instance began.
type Restart struct {
	Instance uint64 `json:"instance"`
	Starts   int    `json:"starts"`
}

// IsZero tells whether no restart is asked for.
func (r Restart) IsZero() bool { return r == Restart{} }
